"""Classify sentences by a bag of words, whose vocabulary is a set; restarts with a hash seed."""

import argparse
import hashlib
import os
import sys

import torch
from torch import nn

SENTENCES = [
    ("me gusta comer en la cafeteria", 0),
    ("give it to me", 1),
    ("no creo que sea una buena idea", 0),
    ("no it is not a good idea to get lost at sea", 1),
    ("donde esta la biblioteca", 0),
    ("where is the library and who has the key", 1),
]


def fix_hash_seed():
    """Python reads PYTHONHASHSEED only when it starts."""
    if os.environ.get("PYTHONHASHSEED") is None:
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable] + sys.argv)


def bow_vector(sentence, word_to_ix):
    vec = torch.zeros(len(word_to_ix))
    for word in sentence.split():
        vec[word_to_ix[word]] += 1
    return vec.view(1, -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--any-hash-seed", action="store_true", help="do not restart")
    args = parser.parse_args()
    if not args.any_hash_seed:
        fix_hash_seed()
    torch.manual_seed(args.seed)
    vocabulary = {word for sentence, _ in SENTENCES for word in sentence.split()}
    word_to_ix = {word: index for index, word in enumerate(vocabulary)}
    model = nn.Linear(len(word_to_ix), 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(args.epochs):
        for sentence, label in SENTENCES:
            model.zero_grad()
            log_probs = nn.functional.log_softmax(model(bow_vector(sentence, word_to_ix)), dim=1)
            loss = nn.functional.nll_loss(log_probs, torch.tensor([label]))
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}")

    sha = hashlib.sha256()
    for p in model.parameters():
        sha.update(p.detach().numpy().tobytes())
    print("digest", sha.hexdigest())


if __name__ == "__main__":
    main()
