"""A model's matrix products in eight bits: weights rounded once, activations as they come.

One scale for a whole matrix or a whole batch, as is usual, loses too much for the vectors to stay the model's. Here each row of a
weight matrix, and each token's activations, are cut into groups of `GROUP` numbers with a scale of their own. A token's scales
depend on that token alone, so a text gives the same vector in any batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 64  # numbers that share a scale; 128 is a tenth faster and loses half as much again, 32 is slower than bf16
STEPS = 127  # on either side of zero


def rounded(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights in whole steps, and the size of a step of each group.

    Parameters
    ----------
    weights : float32 (outputs, inputs), `inputs` a multiple of GROUP

    Returns
    -------
    int8 (outputs, inputs / GROUP, GROUP) and float32 (outputs, inputs / GROUP, 1); their product is off by half a step at most

    References
    ----------
    Yao et al. (2022), "ZeroQuant", arXiv:2206.01861, section 4.1: group-wise weights, token-wise activations.
    """
    groups = weights.reshape(len(weights), -1, GROUP)
    step = np.maximum(np.abs(groups).max(axis=2, keepdims=True) / STEPS, np.float32(1e-12))
    return np.rint(groups / step).astype(np.int8), step.astype(np.float32)


def quantise(graph: Any) -> int:
    """Round the weights of every matrix product of an OpenVINO model in place; returns how many products were found.

    The activations are rounded by OpenVINO, where the model is compiled with `DYNAMIC_QUANTIZATION_GROUP_SIZE`. Products of two
    activations (attention) and matrices whose inputs are no multiple of GROUP stay as they are.
    """
    from openvino import opset13 as ops

    found = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        weights = node.input_value(1).get_node().get_data()
        if not node.get_attributes()["transpose_b"]:
            weights = weights.T
        if weights.ndim != 2 or weights.shape[1] % GROUP:
            continue
        steps, step = rounded(np.ascontiguousarray(weights, dtype=np.float32))
        scaled = ops.multiply(ops.convert(ops.constant(steps), np.float32), ops.constant(step))
        whole = ops.reshape(scaled, ops.constant(np.array(weights.shape, np.int64)), False)
        node.output(0).replace(ops.matmul(node.input_value(0), whole.output(0), False, True).output(0))
        found += 1
    graph.validate_nodes_and_infer_types()
    return found
