"""Training and judging a classifier on posed digits."""

from __future__ import annotations

from collections.abc import Callable

import data
import torch
from torch import Tensor, nn

BATCH = 64
_PEAK_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1e-2


def train(
    model: nn.Module,
    scans: data.Scans,
    *,
    epochs: int,
    seed: int,
    on_epoch: Callable[[float], None],
) -> None:
    """Train in place; in every epoch each scan is drawn once, in a new random pose.

    Args:
        model: images to logits
        scans: the training set
        epochs: passes over it
        seed: of the order and the poses
        on_epoch: called after each epoch with its mean loss
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    batches_per_epoch = -(-len(scans) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _PEAK_LEARNING_RATE, epochs * batches_per_epoch
    )
    model.train()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(scans), generator=generator).split(BATCH):
            batch = scans.take(rows)
            images = data.draw(batch.images, data.random_poses(len(batch), generator))
            loss = nn.functional.cross_entropy(model(images), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        on_epoch(total / len(scans))


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images that the model, in eval mode, gives their label."""
    model.eval()
    predictions = torch.cat([model(batch).argmax(dim=1) for batch in images.split(BATCH)])
    return (predictions == labels).float().mean().item()
