"""Which model is trained, how large is it, and what does it cost?

One architecture, Mistral's, in seven sizes from 1 million parameters (seconds on a laptop) to HARE-1.1B exactly as the paper
gives it. A size is a name; `card` says what training it takes, here and on one large GPU, before anybody starts.

    model = build("hare-5m", vocabulary=8_192, seed=0)
    card("hare-1.1b")
"""

from hare_lab.models.card import TrainingCard, card, cards
from hare_lab.models.ladder import LADDER, Shape, build, config, parameters, shape
from hare_lab.models.speed import flops_per_token, matmul_peak

__all__ = ["LADDER", "Shape", "TrainingCard", "build", "card", "cards", "config", "flops_per_token", "matmul_peak", "parameters", "shape"]
