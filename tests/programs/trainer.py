"""Hugging Face's Trainer on a tiny GPT-2 made from a configuration: nothing is downloaded."""

import argparse

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed


class Counting(Dataset):
    """Sequences that count up from a random start."""

    def __init__(self, size: int = 32, length: int = 12) -> None:
        starts = torch.randint(20, (size, 1))
        self.ids = starts + torch.arange(length)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    if args.seed is not None:
        set_seed(args.seed)
    config = GPT2Config(
        vocab_size=32,
        n_positions=16,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    asked = TrainingArguments(
        output_dir="run",
        num_train_epochs=2,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        warmup_steps=2,
        logging_steps=1,
        save_steps=4,
        eval_strategy="epoch",
        report_to="none",
        use_cpu=True,
    )
    trainer = Trainer(model=model, args=asked, train_dataset=Counting(), eval_dataset=Counting(8))
    trainer.train()
    trainer.save_model("final")


if __name__ == "__main__":
    main()
