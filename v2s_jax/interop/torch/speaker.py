"""The GE2E speaker encoder in PyTorch, with the key names of Resemblyzer and Real-Time-Voice-Cloning."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

LOG_FLOOR = 1e-6  # of mel power


class SpeakerEncoder(nn.Module):
    """Mel power of partial utterances to unit vectors.

    Args:
        config: the `model` section: mels, layers, hidden, projection (0: none), dim, log.
    """

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.log = config["log"]
        hidden, projection = config["hidden"], config["projection"]
        self.lstm = nn.LSTM(config["mels"], hidden, config["layers"], batch_first=True, proj_size=projection)
        self.linear = nn.Linear(projection or hidden, config["dim"])
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))  # of the training loss
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Embeddings of length 1.

        Args:
            mel: [B, T, mels], librosa's mel power of 25 ms frames every 10 ms; 160 frames are a partial utterance.
        """
        _, (state, _) = self.lstm(torch.log(mel + LOG_FLOOR) if self.log else mel)
        return nn.functional.normalize(torch.relu(self.linear(state[-1])), eps=1e-8)
