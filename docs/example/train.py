"""Learns which of ten topics a bag of words has: the training of the README's example."""

import torch
from torch.nn.functional import cross_entropy

words = torch.randint(1000, (4096, 32))
topics = words[:, 0] % 10
vectors = torch.randn(1000, 32, requires_grad=True)
head = torch.nn.Linear(32, 10)
optimizer = torch.optim.Adam([vectors, *head.parameters()], lr=0.01)
for _ in range(60):
    loss = cross_entropy(head(vectors[words].mean(1)), topics)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss:.4f}")
