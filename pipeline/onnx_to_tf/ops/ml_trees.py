"""Ensembles of decision trees.

All rows walk down all trees at once: a step for each level, and what a node is, in tables that the step gathers from.
What the specification leaves open, such as two classes with the weights of one, is as in ONNX Runtime:
onnxruntime/core/providers/cpu/ml/tree_ensemble_aggregator.h.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.ml_lookup import place_among_numbers
from pipeline.onnx_to_tf.ops.ml_scores import chosen_label, class_labels, probit, rows_of, transformed, two_columns
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Decision trees (ai.onnx.ml)")

_ML = "ai.onnx.ml"

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")
"""The first seven by the numbers that TreeEnsemble has for them."""

_LEQ, _LT, _GTE, _GT, _EQ, _NEQ, _MEMBER, _LEAF = range(8)

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""Both by the numbers that TreeEnsemble has for them."""

_UNROLLED = 32
"""Levels: deeper trees are walked in a loop, so that the graph does not grow with them."""

Integers = NDArray[np.int64]
Numbers = NDArray[Any]
Truths = NDArray[np.bool_]


@dataclass(slots=True)
class _Trees:
    """Trees as the node states them, and then in the form in which they are walked.

    Attributes:
        roots: of each tree, the position of its root among the nodes.
        modes: of each node, a position in `_MODES`.
        features: the feature that it asks for.
        values: what it compares with.
        yes: where a row goes for which the comparison holds; the node itself for a leaf.
        no: where the others go.
        nan: whether a row with NaN goes as if it held.
        members: by node, the set of a BRANCH_MEMBER.
    """

    roots: Integers
    modes: Integers
    features: Integers
    values: Numbers
    yes: Integers
    no: Integers
    nan: Truths
    members: dict[int, list[float]]

    def put_in_form(self, node: Node) -> None:
        """Leaves LEQ, LT, EQ and MEMBER of the modes, and one MEMBER of each chain of comparisons by EQ."""
        self.nan = self.nan | (self.modes == _NEQ)
        for mode, opposite in ((_GT, _LEQ), (_GTE, _LT), (_NEQ, _EQ)):
            swapped = self.modes == mode
            self.yes, self.no = np.where(swapped, self.no, self.yes), np.where(swapped, self.yes, self.no)
            self.nan = self.nan ^ swapped
            self.modes = np.where(swapped, opposite, self.modes)
        self._join_chains()
        leaves = self.modes == _LEAF
        everyone = np.arange(len(self.modes))
        self.yes, self.no = np.where(leaves, everyone, self.yes), np.where(leaves, everyone, self.no)
        self.nan = self.nan & ~leaves

    def _join_chains(self) -> None:
        """LightGBM's converter writes a set of categories as a chain of EQ, as long as the set."""
        sets, joined = np.isin(self.modes, (_EQ, _MEMBER)), set()
        for position in np.flatnonzero(sets).tolist():
            if position in joined:
                continue
            while sets[other := int(self.no[position])] and self._is_same(position, other):
                self.members[position] = self._set(position) + self._set(other)
                self.modes[position] = _MEMBER
                self.nan[position] |= self.nan[other]
                self.no[position] = self.no[other]
                joined.add(other)

    def _is_same(self, a: int, b: int) -> bool:
        return bool(a != b and self.features[a] == self.features[b] and self.yes[a] == self.yes[b])

    def _set(self, position: int) -> list[float]:
        return self.members[position] if self.modes[position] == _MEMBER else [self.values[position]]

    def levels(self, node: Node) -> tuple[int, Integers]:
        """How many steps reach a leaf from any root, and the nodes that are reached: those with branches first."""
        reached = np.zeros(len(self.modes), bool)
        level, depth = np.unique(self.roots), 0
        while True:
            reached[level] = True
            branching = level[self.modes[level] != _LEAF]
            if not len(branching):
                break
            if depth > len(self.modes):
                raise node.unsupported("its trees have a cycle; export it again")
            level, depth = np.unique(np.concatenate([self.yes[branching], self.no[branching]])), depth + 1
        order = np.flatnonzero(reached)
        return depth, order[np.argsort(self.modes[order] == _LEAF, kind="stable")]


@dataclass(frozen=True, slots=True)
class _Leaves:
    """The weights.

    Attributes:
        weights: [leaves, targets].
        has: whether a leaf states one for a target, [leaves, targets].
        tree: of each leaf, its tree; -1 where several have it.
    """

    weights: Numbers
    has: Truths
    tree: Integers


@dataclass(frozen=True, slots=True)
class _Walk:
    """Where every row came to.

    Attributes:
        leaves: position among the leaves, int32 [rows, trees].
        data: the weights of those.
        trees: how many trees.
    """

    leaves: tf.Tensor
    data: _Leaves
    trees: int

    def summed(self) -> tf.Tensor:
        """The sum over the trees, [rows, targets]."""
        weights, has = self.data.weights, self.data.has
        if weights.shape[1] == 1:
            return tf.reduce_sum(tf.gather(tf.constant(weights[:, 0]), self.leaves), 1, keepdims=True)
        target = self._target_of_each_tree()
        if target is None:
            return tf.reduce_sum(tf.gather(tf.constant(np.where(has, weights, 0)), self.leaves), 1)
        alone = tf.gather(tf.constant(weights[np.arange(len(weights)), np.argmax(has, 1)]), self.leaves)
        belongs = np.zeros((self.trees, weights.shape[1]), weights.dtype)
        belongs[np.arange(self.trees), target] = 1
        return tf.matmul(alone, tf.constant(belongs))

    def extreme(self, *, is_largest: bool) -> tf.Tensor:
        """The largest or smallest weight over the trees, 0 for a target without any, [rows, targets]."""
        weights, has = self.data.weights, self.data.has
        filled = np.where(has, weights, -np.inf if is_largest else np.inf).astype(weights.dtype)
        reduce = tf.reduce_max if is_largest else tf.reduce_min
        found = reduce(tf.gather(tf.constant(filled), self.leaves), 1)
        return tf.where(tf.abs(found) < np.inf, found, tf.zeros_like(found))

    def has(self, target: int) -> tf.Tensor | bool:
        """Whether any leaf of a row states a weight for the target: a bool where it is the same for all rows."""
        has = self.data.has[:, target]
        if not has.any():
            return False
        for tree in range(self.trees):
            own = self.data.tree == tree
            if own.any() and has[own].all():
                return True
        return tf.reduce_any(tf.gather(tf.constant(has), self.leaves), 1)

    def _target_of_each_tree(self) -> Integers | None:
        """The target that all leaves of a tree have their one weight for; None where that is not so."""
        has, tree = self.data.has, self.data.tree
        if (tree < 0).any() or (has.sum(1) != 1).any():
            return None
        target = np.full(self.trees, -1)
        each = np.argmax(has, 1)
        target[tree] = each
        return target if (target[tree] == each).all() and (target >= 0).all() else None


@ops.register("TreeEnsembleClassifier", 1, 3, 5, domain=_ML)
def tree_ensemble_classifier(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels [N] and scores [N, classes], float32, for rows [N, features]."""
    labels = class_labels(node, "classlabels_int64s")
    transform = node.text("post_transform", "NONE")
    walk = _walk_stated(node, x, "class", len(labels))
    base = _base_values(node, walk)
    scores = walk.summed()
    if len(labels) > 2:
        return _several_classes(node, walk, labels, scores, base, transform)
    if len(labels) == 2:
        return _two_classes(node, walk, labels, scores, base, transform)
    raise node.unsupported("it has one class, whose label ONNX Runtime does not give; state two")


@ops.register("TreeEnsembleRegressor", 1, 3, 5, domain=_ML)
def tree_ensemble_regressor(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Scores [N, targets], float32, for rows [N, features]."""
    walk = _walk_stated(node, x, "target", node.integer("n_targets"))
    aggregate, transform = node.text("aggregate_function", "SUM"), node.text("post_transform", "NONE")
    return tf.cast(_regressed(node, walk, aggregate, transform, _base_values(node, walk)), tf.float32)


@ops.register("TreeEnsemble", 5, domain=_ML)
def tree_ensemble(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Scores [N, targets] for rows [N, features], in their type.

    The numbers of ``post_transform`` are the specification's: ONNX Runtime 1.32 takes 1 for LOGISTIC and 2 for SOFTMAX.
    """
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    dtype = wide.as_numpy_dtype
    modes = node.array("nodes_modes").astype(np.int64)
    branches, targets = len(modes), np.asarray(node.integers("leaf_targetids"))
    yes = np.asarray(node.integers("nodes_truenodeids")) + branches * np.asarray(node.integers("nodes_trueleafs"))
    no = np.asarray(node.integers("nodes_falsenodeids")) + branches * np.asarray(node.integers("nodes_falseleafs"))
    leaves = np.arange(branches, branches + len(targets))
    blank = np.zeros(len(targets), np.int64)
    tracks = node.integers("nodes_missing_value_tracks_true", None) or [0] * branches
    trees = _Trees(
        np.asarray(node.integers("tree_roots")),
        np.concatenate([modes, blank + _LEAF]),
        np.concatenate([node.integers("nodes_featureids"), blank]),
        np.concatenate([node.array("nodes_splits").astype(dtype), blank.astype(dtype)]),
        np.concatenate([yes, leaves]),
        np.concatenate([no, leaves]),
        np.concatenate([tracks, blank]).astype(bool),
        _membership(node, modes),
    )
    owners = np.concatenate([np.full(branches, -1), np.arange(len(targets))])
    weights = node.array("leaf_weights").astype(dtype)
    stated = [[(int(target), weight)] for target, weight in zip(targets, weights, strict=True)]
    walk = _walk(node, tf.cast(x, wide), trees, owners, stated, node.integer("n_targets"))
    aggregate = _AGGREGATES[node.integer("aggregate_function", 1)]
    transform = _TRANSFORMS[node.integer("post_transform", 0)]
    return tf.cast(_regressed(node, walk, aggregate, transform, np.zeros(0, dtype)), x.dtype)


def _regressed(node: Node, walk: _Walk, aggregate: str, transform: str, base: Numbers) -> tf.Tensor:
    if aggregate in ("SUM", "AVERAGE"):
        scores = walk.summed()
        scores = scores / walk.trees if aggregate == "AVERAGE" else scores
    elif aggregate in ("MIN", "MAX"):
        scores = walk.extreme(is_largest=aggregate == "MAX")
    else:
        raise node.unsupported(f"aggregate_function is {aggregate!r}; there are {', '.join(_AGGREGATES)}")
    targets = walk.data.weights.shape[1]
    if len(base) not in (0, targets):
        raise node.unsupported(f"it has {len(base)} base_values for {targets} targets; state one for each")
    scores = scores + tf.constant(base) if len(base) else scores
    if targets == 1:
        # With one target ONNX Runtime knows this transform alone, and onnxmltools' models count on that.
        return probit(scores) if transform == "PROBIT" else scores
    return transformed(node, scores, transform)


def _several_classes(
    node: Node,
    walk: _Walk,
    labels: Sequence[int] | Sequence[str],
    scores: tf.Tensor,
    base: Numbers,
    transform: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Three classes or more: the label of the largest score, among the classes that have one."""
    if len(base):
        scores, has = scores + tf.constant(base), [True] * len(labels)
    else:
        has = [walk.has(target) for target in range(len(labels))]
    candidates = scores
    if any(each is not True for each in has):
        columns = [tf.ones_like(scores[:, 0], tf.bool) if each is True else each for each in has]
        columns = [tf.zeros_like(scores[:, 0], tf.bool) if each is False else each for each in columns]
        candidates = tf.where(tf.stack(columns, -1), scores, scores.dtype.min)
    label = chosen_label(labels, tf.argmax(candidates, -1, output_type=tf.int32))
    return label, transformed(node, tf.cast(scores, tf.float32), transform)


def _two_classes(
    node: Node,
    walk: _Walk,
    labels: Sequence[int] | Sequence[str],
    scores: tf.Tensor,
    base: Numbers,
    transform: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two classes, of which one alone may have weights: that of one score then gives both."""
    first, second, has_first, has_second = scores[:, 0], scores[:, 1], walk.has(0), walk.has(1)
    is_binary = bool(walk.data.has.any(0).sum() == 1)
    is_probability = is_binary and bool((walk.data.weights[walk.data.has] >= 0).all())
    # Where the weights belong to one class the label is one of the two; else ONNX Runtime gives 1 or 0 itself.
    if not is_binary and not isinstance(labels[0], str):
        labels = [0, 1]
    if len(base) == 2:
        both = first + base[1]
        first, second = _chosen(has_second, -both, first + base[0]), both
    elif len(base) == 1:
        first = first + base[0]
    # What has no weight in a row is 0 there, also with a base value.
    nothing = tf.zeros_like(first)
    first, second = _chosen(has_first, first, nothing), _chosen(has_second, second, nothing)
    positive = _chosen(has_second, second, first)
    label = chosen_label(labels, tf.cast(positive > (0.5 if is_probability else 0), tf.int32))
    first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    from_both = transformed(node, tf.stack([first, second], -1), transform)
    if len(base) == 2 or has_second is True:
        return label, from_both
    if transform == "PROBIT" or (len(base) == 1 and not is_binary):
        raise node.unsupported("the score of its second class is left open; state weights of both classes")
    from_one = two_columns(first, transform, is_probability=is_probability)
    return label, _chosen(has_second if has_second is False else has_second[:, None], from_both, from_one)


def _chosen(condition: tf.Tensor | bool, yes: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
    if isinstance(condition, bool):
        return yes if condition else no
    return tf.where(condition, yes, no)


def _walk_stated(node: Node, x: tf.Tensor, kind: str, targets: int) -> _Walk:
    """Walks the trees of versions 1 to 5; ``kind`` is ``class`` or ``target``, as the attributes of weights begin."""
    if targets < 1:
        raise node.unsupported("it states no class and no target; export it again")
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    dtype = wide.as_numpy_dtype
    ids = list(zip(node.integers("nodes_treeids"), node.integers("nodes_nodeids"), strict=True))
    position = {identity: index for index, identity in enumerate(ids)}
    names = node.texts("nodes_modes")
    if unknown := set(names) - set(_MODES):
        raise node.unsupported(f"its nodes have the modes {sorted(unknown)}; there are {', '.join(_MODES)}")
    modes = np.array([_MODES.index(name) for name in names])
    everyone = np.arange(len(ids))
    yes, no = everyone.copy(), everyone.copy()
    for branch, stated in ((yes, "nodes_truenodeids"), (no, "nodes_falsenodeids")):
        given = node.integers(stated)
        for index in np.flatnonzero(modes != _LEAF).tolist():
            branch[index] = position[ids[index][0], given[index]]
    tracks = np.zeros(len(ids), bool)
    stated_tracks = node.integers("nodes_missing_value_tracks_true", None)
    tracks[: len(stated_tracks)] = np.asarray(stated_tracks, np.int64) == 1
    roots = [i for i, (tree, _) in enumerate(ids) if not i or tree != ids[i - 1][0]]
    trees = _Trees(
        np.asarray(roots),
        modes,
        np.asarray(node.integers("nodes_featureids")),
        _numbers(node, "nodes_values", dtype),
        yes,
        no,
        tracks,
        {},
    )
    weights: list[list[tuple[int, Any]]] = [[] for _ in ids]
    entries = zip(
        node.integers(f"{kind}_treeids"),
        node.integers(f"{kind}_nodeids"),
        node.integers(f"{kind}_ids"),
        _numbers(node, f"{kind}_weights", dtype),
        strict=True,
    )
    for tree, leaf, target, weight in entries:
        weights[position[tree, leaf]].append((target, weight))
    return _walk(node, tf.cast(x, wide), trees, everyone, weights, targets)


def _numbers(node: Node, attribute: str, dtype: Any) -> Numbers:
    """A list of float32, or from version 3 a tensor of any type."""
    if node.has(f"{attribute}_as_tensor"):
        return np.ravel(node.array(f"{attribute}_as_tensor")).astype(dtype)
    return np.asarray(node.numbers(attribute, None), np.float32).astype(dtype)


def _base_values(node: Node, walk: _Walk) -> Numbers:
    return _numbers(node, "base_values", walk.data.weights.dtype)


def _membership(node: Node, modes: Integers) -> dict[int, list[float]]:
    """The set of each BRANCH_MEMBER: ``membership_values`` has them in their order, a NaN behind each."""
    positions = np.flatnonzero(modes == _MEMBER).tolist()
    if not positions:
        return {}
    values = np.ravel(node.array("membership_values")).astype(np.float64)
    sets = np.split(values, np.flatnonzero(np.isnan(values)))
    return {
        position: [float(value) for value in members if not np.isnan(value)]
        for position, members in zip(positions, sets, strict=False)
    }


def _walk(
    node: Node,
    x: tf.Tensor,
    trees: _Trees,
    owners: Integers,
    stated: list[list[tuple[int, Any]]],
    targets: int,
) -> _Walk:
    """Walks down all trees.

    Args:
        node: the node.
        x: the rows, in the type of the comparisons.
        trees: the trees.
        owners: of each node, the position of its weights in ``stated``, if it is a leaf.
        stated: target and weight.
        targets: how many.
    """
    trees.put_in_form(node)
    depth, order = trees.levels(node)
    new = np.full(len(trees.modes), -1, np.int64)
    new[order] = np.arange(len(order))
    branching = int((trees.modes[order] != _LEAF).sum())
    roots = new[trees.roots]
    rows = rows_of(x)
    step = _step(trees, order, new, rows)
    # Every row at every root: [rows, trees].
    here = tf.zeros_like(tf.cast(rows[:, :1], tf.int32)) + tf.constant(roots[None].astype(np.int32))
    if depth <= _UNROLLED:
        for _ in range(depth):
            here = step(here)
    else:
        here = tf.while_loop(lambda i, _: i < depth, lambda i, here: (i + 1, step(here)), [tf.constant(0), here])[1]
    leaves = order[branching:]
    weights, has = np.zeros((len(leaves), targets), trees.values.dtype), np.zeros((len(leaves), targets), bool)
    for row, leaf in enumerate(leaves.tolist()):
        for target, weight in stated[owners[leaf]]:
            if not 0 <= target < targets:
                raise node.unsupported(f"a leaf states a weight for target {target} of {targets}; export it again")
            if targets == 1 and has[row, 0]:
                break  # ONNX Runtime takes the first
            weights[row, target] += weight
            has[row, target] = True
    yes, no = new[trees.yes[order]], new[trees.no[order]]
    return _Walk(here - branching, _Leaves(weights, has, _trees_of(roots, yes, no, branching)), len(roots))


def _trees_of(roots: Integers, yes: Integers, no: Integers, branching: int) -> Integers:
    """Of each leaf, its tree; -1 where several have it."""
    owner = np.full(len(yes), -2)
    level, owners = roots, np.arange(len(roots))
    while len(level):
        owner[level] = np.where((owner[level] == -2) | (owner[level] == owners), owners, -1)
        inner = level < branching
        level, owners = np.concatenate([yes[level[inner]], no[level[inner]]]), np.tile(owners[inner], 2)
        level, first = np.unique(level * len(roots) + owners, return_index=True)
        level, owners = level // len(roots), owners[first]
    return owner[branching:]


def _step(trees: _Trees, order: Integers, new: Integers, rows: tf.Tensor) -> Any:
    """The function that takes all rows from their nodes to the next: int32 [rows, trees] each."""
    modes, values = trees.modes[order], trees.values[order]
    features = tf.constant(trees.features[order].astype(np.int32))
    # No first, then yes: what a comparison gives is the offset.
    next_nodes = tf.constant(np.stack([new[trees.no[order]], new[trees.yes[order]]], 1).ravel().astype(np.int32))
    branching = modes != _LEAF
    kinds = set(modes[branching].tolist())
    members = modes == _MEMBER
    values = tf.constant(np.where(members, np.nan, values).astype(values.dtype))
    tracks, is_floating = trees.nan[order], rows.dtype.is_floating
    compared = kinds - {_MEMBER}
    if len(compared) > 1:
        if_less, if_equal = tf.constant(np.isin(modes, (_LEQ, _LT))), tf.constant(np.isin(modes, (_LEQ, _EQ)))
    if members.any():
        codes, belongs, set_of_node = _member_tables(trees, order, rows)

    def step(here: tf.Tensor) -> tf.Tensor:
        feature, value = tf.gather(features, here), tf.gather(values, here)
        x = tf.gather(rows, feature, batch_dims=1)
        if compared == {_LEQ}:
            holds = x <= value
        elif compared == {_LT}:
            holds = x < value
        elif compared == {_EQ}:
            holds = tf.equal(x, value)
        elif compared:
            less = (x < value) & tf.gather(if_less, here)
            holds = less | (tf.equal(x, value) & tf.gather(if_equal, here))
        else:
            holds = None
        if members.any():
            code = tf.gather(codes, feature, batch_dims=1)
            is_member = tf.gather(belongs, tf.gather(set_of_node, here) + code)
            holds = is_member if holds is None else holds | is_member
        if is_floating and tracks.any():
            is_nan = tf.math.is_nan(x)
            holds = holds | (is_nan if tracks[branching].all() else is_nan & tf.gather(tf.constant(tracks), here))
        return tf.gather(next_nodes, 2 * here + tf.cast(holds, tf.int32))

    return step


def _member_tables(trees: _Trees, order: Integers, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What tells members.

    Returns:
        The code of each value, [rows, features]: its place among all members; whether the set of a node has a code, for
        one node after the other; and of each node, where that begins, the start for a node without a set.
    """
    dtype = trees.values.dtype
    sets = {
        row: np.asarray(trees.members[old], dtype) for row, old in enumerate(order.tolist()) if old in trees.members
    }
    known = np.unique(np.concatenate([*sets.values(), np.zeros(0, dtype)]))
    width = len(known) + 1
    belongs, start = np.zeros((len(sets) + 1, width), bool), np.zeros(len(order), np.int32)
    for index, (row, members) in enumerate(sets.items(), 1):
        belongs[index, np.searchsorted(known, members)] = True
        start[row] = index * width
    return place_among_numbers(known, rows), tf.constant(belongs.ravel()), tf.constant(start)
