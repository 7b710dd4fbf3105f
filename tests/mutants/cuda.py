"""Mistakes planted into the CUDA kernels; `python -m tests.mutants` runs them.

Layers: "host", the kernels on NumPy arrays; "address", the same under AddressSanitizer.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from tests.kernels.cuda import test_kernels_cuda as nearest
from tests.kernels.cuda import test_kernels_cuda_differences as differences
from tests.kernels.cuda import test_kernels_cuda_dtypes as dtypes
from tests.kernels.cuda import test_kernels_cuda_engine as engine
from tests.kernels.cuda import test_kernels_cuda_exact as exact
from tests.kernels.cuda import test_kernels_cuda_medians as medians
from tests.kernels.cuda import test_kernels_cuda_refit as refit
from tests.kernels.cuda import test_kernels_cuda_seeding as seeding
from tests.kernels.cuda import test_kernels_cuda_tensor as tensor
from tests.kernels.cuda import test_kernels_cuda_weights as weights

BARRIER = "__syncthreads();"


class Mutant(NamedTuple):
    """A mistake.

    Attributes
    ----------
    source : str
        One of `kmgpu.kernels.cuda.module.PARTS`, or "common".
    changes : tuple of (old, new)
        Each `old` is once in the source's text, all its parts together.
    test : callable
        Takes the `gpu` fixture.
    layer : {"host", "address"}
    """

    source: str
    changes: tuple[tuple[str, str], ...]
    test: Callable[..., None]
    layer: str = "host"

    def planted(self, code: str) -> str:
        """The text with the mistake in it."""
        for old, new in self.changes:
            assert code.count(old) == 1, f"{code.count(old)} times: {old}"
            code = code.replace(old, new)
        return code


LABELS = partial(
    nearest.test_labels_are_those_of_float64, loss="l1", dtype="float32", shape=(257, 33, 9)
)
STAGED = "stage_centers<THREADS>(tile, shifted, k, d, t0, col0, tid);\n"
COSTS = partial(nearest.test_best_and_runner_up, loss="l1", dtype="float32", shape=(257, 33, 9))
FAR = nearest.test_float32_far_from_the_origin_or_in_groups_far_apart
TIED = exact.test_nearly_tied_costs_are_ranked_as_a_plain_loop_ranks_them
ERRING = exact.test_costs_that_err_as_much_as_they_can_change_no_label
WEIGHED = weights.test_by_hand
BRUTE = partial(
    refit.test_against_brute_force, dtype="float32", weights="integers", shape=(130, 6, 1)
)
EVEN = partial(refit.test_medians_by_hand, values=[1, 9, 3, 4], weight=None, median=3.5, scale=1)
SEGMENTS = partial(medians.test_segments, case="one goes on, one begins", d=3, weights="with zeros")
UNWEIGHTED = partial(medians.test_segments, case="tiny, large and empty", d=3, weights="none")
PARTED = partial(
    medians.test_the_upper_median_wherever_the_two_keys_part,
    dtype="float32",
    weights="none",
    size=200,
)
USED = "a[r / RUN].value[r % RUN], center);\n            }\n        }\n"
NARROW = partial(differences.test_labels, loss="l2", d=3, n=129, k=33)
NARROW_COSTS = partial(differences.test_costs, loss="l2", d=3)
HALVES = partial(differences.test_labels, loss="l1", d=40, n=66, k=130)
HALVES_DECIDE = partial(differences.test_halves_decide_most_rows, d=40)
LOSING = differences.test_halves_that_lose_all_on_one_side
ADVERSE = (
    "// What tensor cores need beyond",
    "#define HALF_ERRS 0\n#define MMA_ERRS 0\n// What tensor cores need beyond",
)
WORDS = "stage_words<THREADS>(tile, packed, padded, words, t0 / 2, col0, tid);\n"
BEYOND = differences.test_the_nearest_centre_is_beyond_float32
FOLDED = "shared.count[0][b][own] = folded(b);\n"
SEED = partial(
    seeding.test_against_brute_force, loss="l2", dtype="float32", weights="reals", shape=(257, 40)
)
TRIED = partial(
    seeding.test_costs_and_masses_are_those_of_float64, loss="l2", shape=(150, 21), offset=100
)
SORTED = partial(
    engine.test_rows_are_grouped_in_their_order, weights="with zeros", n=1200, k=70, most_lines=16
)
WIDELY_SORTED = partial(
    engine.test_rows_are_grouped_in_their_order, weights="none", n=3000, k=2100, most_lines=16
)
LOSSES = partial(
    engine.test_losses_beside_a_refit, dtype="float32", case="an empty cluster", d=3, k=5
)
PARTS = partial(engine.test_parts_of_many_blocks, weights="with zeros")
PRODUCT = partial(tensor.test_labels_are_those_of_float64, dtype="float32", n=257, k=130, d=40)
SYNCED = f"      {BARRIER}\n      if (at + S::COLUMNS < padded) {{"
WIDE = partial(PRODUCT, d=300)
NEAR = partial(tensor.test_rows_near_bisectors, dtype="float32", d=40)
AGREEING = tensor.test_residuals_that_agree
LOOSE = "constexpr float MMA_UNIT"
NUMBERED = "value = __uint_as_float((__float_as_uint(score) & ~BITS) | number)"
FLUSHES = (
    f"const float {NUMBERED};",
    f"float {NUMBERED};\n    if (fabsf(value) < 1e-37f) value = 0;",
)
ERRS = (LOOSE, f"#define MMA_ERRS 0\n{LOOSE}")
TILE = "real ? rows.template at<double>(drawn[first + c], t) : 0;\n        }\n"
MUTANTS = {
    "no barrier before a tile is used": Mutant(
        "tiled", ((f"{STAGED}        {BARRIER}", STAGED),), LABELS
    ),
    "no barrier after a tile is used": Mutant(
        "tiled", ((f"{USED}        {BARRIER}", USED),), LABELS
    ),
    "a row too far": Mutant(
        "tiled",
        (("rows.at(row0 + r < rows.count ? row0 + r : rows.count - 1)", "rows.at(row0 + r)"),),
        LABELS,
        "address",
    ),
    "no guard on features": Mutant(
        "tiled", (("inside ? less(*at, middle) : 0", "less(*at, middle)"),), COSTS
    ),
    "a narrow tile": Mutant(
        "tiled", (("r = row; r < BM; r += STEP", "r = row; r < BM - STEP; r += STEP"),), COSTS
    ),
    "centres beyond k": Mutant("tiled", (("!real ? infinity<float>()", "!real ? 0"),), COSTS),
    "a thread's rows for another's": Mutant(
        "tiled",
        (("row0 + RUN * (ty + r / RUN * TY) + r % RUN", "row0 + RM * ty + r"),),
        LABELS,
    ),
    "a run of another row of centres": Mutant(
        "tiled", (("[RUN * (tx + c * TX)]", "[RUN * (tx + TX - c * TX)]"),), LABELS
    ),
    "a centre that overflows passed over": Mutant(
        "tiled", (("ranked[r].best += overflow;", ""),), partial(BEYOND, d=40, k=4)
    ),
    "the runner-up of a tile forgotten": Mutant(
        "tiled",
        (("second = fmin(second, fmax(best, cost));", "second = fmax(best, cost);"),),
        partial(nearest.test_best_and_runner_up, loss="l1", dtype="float32", shape=(131, 17, 130)),
    ),
    "a row in registers too far": Mutant(
        "narrow",
        (("row0 + r * THREADS < n ? row0 + r * THREADS : n - 1", "row0 + r * THREADS"),),
        NARROW,
        "address",
    ),
    "a feature in registers too many": Mutant(
        "narrow", (("row[t] = t < d ? part", "row[t] = t <= d ? part"),), NARROW_COSTS
    ),
    "no barrier before centres are read": Mutant(
        "narrow", ((f"{BARRIER}\n    for (int j = 0;", "for (int j = 0;"),), NARROW
    ),
    "no barrier before centres are replaced": Mutant(
        "narrow",
        ((f"{BARRIER}\n    for (int e =", "for (int e ="),),
        partial(differences.test_labels, loss="l2", d=3, n=66, k=130),
    ),
    "a centre in registers beyond k": Mutant(
        "narrow", (("!real   ? infinity<float>()", "!real   ? 0"),), NARROW_COSTS
    ),
    "a centre of few features that overflows": Mutant(
        "narrow",
        (("ranked[r].best + overflow", "ranked[r].best"),),
        partial(BEYOND, d=3, k=4),
    ),
    "half of the margin of absolute differences in halves": Mutant(
        "screen",
        (
            ADVERSE,
            ("decided = own.second - own.best > ", "decided = own.second - own.best > 0.5f * "),
        ),
        differences.check_that_errors_of_halves_change_no_label,
    ),
    "no margin for the second sum of halves": Mutant(
        "screen",
        (ADVERSE, ("rounding * (own.second + 1.01f", "rounding * (0 * own.second + 1.01f")),
        differences.check_that_errors_of_halves_change_no_label,
    ),
    "no margin for what halves lose of a row": Mutant(
        "screen", (("(extra + tile.lost[r])", "extra"),), partial(LOSING, of="row")
    ),
    "no margin for what halves lose of a centre": Mutant(
        "screen", (("(extra + tile.lost[r])", "tile.lost[r]"),), partial(LOSING, of="centre")
    ),
    "what halves lose of the first features alone": Mutant(
        "screen",
        (("if (measured) lost", "if (measured && first == 0) lost"),),
        partial(LOSING, of="row"),
    ),
    "a lane's sums for another's": Mutant(
        "screen",
        (("lane / 4 == lane % 4 * 2 ?", "lane / 4 == (lane + 1) % 4 * 2 ?"),),
        HALVES_DECIDE,
    ),
    "a word of halves in another row": Mutant(
        "screen", (("tile.rows[(own + e) / 2]", "tile.rows[own / 2]"),), HALVES_DECIDE
    ),
    "one list entry for a warp's open rows": Mutant(
        "screen",
        (("atomicAdd(total, __popc(votes))", "atomicAdd(total, 1)"),),
        partial(differences.test_open_rows_are_ranked_in_float32, d=40),
    ),
    "a row whose sums of halves overflow decided": Mutant(
        "screen",
        (("most <= ROOM ? lost : infinity<float>()", "lost"),),
        differences.test_a_row_whose_sums_of_halves_overflow,
    ),
    "what is not finite decided by halves": Mutant(
        "screen",
        (("decided = own.second", "decided = !(tile.lost[r] < 1e30f) || own.second"),),
        partial(differences.test_labels_far_from_ordinary, loss="l1", case="large", d=40),
    ),
    "no barrier before halves are read": Mutant(
        "screen", ((f"{WORDS}      {BARRIER}", WORDS),), HALVES
    ),
    "wrong tie between lanes": Mutant(
        "settle",
        (("(other_best == best && other_label < label)", "(other_best == best)"),),
        partial(nearest.test_ties_go_to_the_lowest_index, loss="l1", dtype="float64", d=3, k=140),
    ),
    "the runner-up forgotten": Mutant(
        "nearest",
        (("      second = best;\n      best = cost;", "      best = cost;"),),
        partial(nearest.test_best_and_runner_up, loss="l2", dtype="float32", shape=(40, 70, 70)),
    ),
    "half of the lanes merged": Mutant(
        "tiled", (("int offset = lanes / 2;", "int offset = lanes / 4;"),), LABELS
    ),
    "an early return before a barrier": Mutant(
        "tiled",
        (
            (
                "  Ranked<float> ranked[RM];",
                "  if (row0 + ty >= n) return;\n  Ranked<float> ranked[RM];",
            ),
        ),
        LABELS,
    ),
    "the first ranking trusted": Mutant(
        "settle",
        (("> margin * (1 + 1e-9) + r.least", "> 0"),),
        partial(FAR, loss="l2", d=40, offset=0, gap=1e4),
    ),
    "the first ranking of float64 trusted": Mutant(
        "settle",
        (("> margin * (1 + 1e-9) + r.least", "> 0"),),
        partial(exact.test_two_groups_far_apart, loss="l2", dtype="float64", apart=1e5, d=40),
    ),
    "half of the margin of squares": Mutant(
        "settle",
        (("margin = 2 * (r.near * length * length", "margin = (r.near * length * length"),),
        partial(ERRING, loss="l2", dtype="float64", d=40, far=True),
    ),
    "half of the margin of absolute values": Mutant(
        "settle",
        (("margin = 2 * (r.near * (most + extent)", "margin = (r.near * (most + extent)"),),
        partial(ERRING, loss="l1", dtype="float64", d=40, far=True),
    ),
    "no margin for the way to the origin": Mutant(
        "settle",
        (("(r.near * length * length + r.mixed * length * root +", "("),),
        partial(ERRING, loss="l2", dtype="float32", d=3, far=True),
    ),
    "no margin for the sum": Mutant(
        "settle",
        (("(most + extent) + r.far * most);", "(most + extent));"),),
        partial(ERRING, loss="l1", dtype="float32", d=40, far=False),
    ),
    "no margin for underflow": Mutant(
        "settle",
        (("margin * (1 + 1e-9) + r.least", "margin * (1 + 1e-9)"),),
        partial(
            exact.test_magnitudes_of_float64,
            loss="l2",
            scale="squares are subnormal in float32",
            d=40,
        ),
    ),
    "a cost added with one rounding": Mutant(
        "common",
        (("return __dadd_rn(sum, __dmul_rn(gap, gap));", "return __fma_rn(gap, gap, sum);"),),
        partial(TIED, loss="l2", dtype="float32", d=40),
    ),
    "a cost added backwards": Mutant(
        "settle",
        (
            (
                "at<double>(row[r], t);\n          exact",
                "at<double>(row[r], d - 1 - t);\n          exact",
            ),
            (
                "value, turned[(long long)t * k + j]",
                "value, turned[(long long)(d - 1 - t) * k + j]",
            ),
        ),
        partial(TIED, loss="l1", dtype="float64", d=40),
    ),
    "the last of equal costs": Mutant(
        "settle",
        (("if (exact < ranked[r].best) {", "if (exact <= ranked[r].best) {"),),
        partial(nearest.test_ties_go_to_the_lowest_index, loss="l2", dtype="float32", d=3, k=140),
    ),
    "candidates by float32 as it is": Mutant(
        "settle",
        (
            (
                "return highest<Cost>(cost, Cost::squared ? sqrt(length) : length, d, rounding);",
                "return cost;",
            ),
        ),
        partial(exact.test_two_groups_far_apart, loss="l1", dtype="float32", apart=1e7, d=40),
    ),
    "candidates that overflow left out": Mutant(
        "settle",
        (("if (rough[r] > limit[r] && rough[r] < infinity<float>())", "if (rough[r] > limit[r])"),),
        partial(exact.test_large_rows_of_float32, loss="l2", scale=1e25, d=3),
    ),
    "open rows forgotten": Mutant(
        "settle",
        (("atomicAdd(total, __popc(votes))", "atomicAdd(total, 1)"),),
        partial(TIED, loss="l2", dtype="float32", d=40),
    ),
    "open rows listed over each other": Mutant(
        "settle",
        (("__popc(votes & ((1u << lane) - 1))", "0"),),
        partial(TIED, loss="l2", dtype="float32", d=40),
    ),
    "the last rows of a group of open ones left out": Mutant(
        "settle",
        (("first + r < count ? first + r : count - 1", "first"),),
        partial(TIED, loss="l2", dtype="float32", d=40),
    ),
    "a row's limit taken for another's": Mutant(
        "settle",
        (("rough[r] > limit[r] &&", "rough[r] > limit[0] &&"),),
        partial(exact.test_open_rows_of_unlike_costs, loss="l2", d=40),
    ),
    "an overflow passed over": Mutant(
        "nearest",
        (("best = infinity<T>() - infinity<T>();", "label = label;"),),
        nearest.test_a_cost_that_overflows_is_not_passed_over,
    ),
    "offsets of 32 bits": Mutant(
        "common",
        (("data[row * row_stride +", "data[int(row * row_stride) +"),),
        nearest.test_row_offsets_have_64_bits,
    ),
    "subnormal halves": Mutant(
        "common",
        (("(h.bits & 0x7c00u)", "(h.bits & 0x7fffu)"),),
        nearest.test_half_floats_are_decoded_exactly,
    ),
    "rounded before the origin is taken off": Mutant(
        "common",
        (
            (
                "float(converted<Origin<T>>(value) - origin)",
                "float(converted<Origin<T>>(value)) - float(origin)",
            ),
        ),
        partial(dtypes.test_labels, loss="l2", dtype="uint32", case="near the end", d=3),
    ),
    "bfloat16 a bit too low": Mutant(
        "common",
        (("(unsigned)value.bits << 16", "(unsigned)value.bits << 15"),),
        partial(dtypes.test_labels, loss="l1", dtype="bfloat16", case="small", d=3),
    ),
    "the highest integer has the key that no number has": Mutant(
        "medians",
        (("return key < MOST ? key : MOST;", "return key;"),),
        partial(dtypes.test_medians_of_the_two_highest_integers, dtype="uint64"),
    ),
    "negative integers above the others": Mutant(
        "medians",
        (("SIGNED ? Key(1) << (8 * sizeof(T) - 1) : Key(0)", "Key(0)"),),
        partial(dtypes.test_refit, loss="l1", dtype="int8", case="whole range", weighted=False),
    ),
    "rows of zero weight are sorted": Mutant(
        "sort", (("!(weight[row] > 0)", "!(weight[row] >= 0)"),), SORTED
    ),
    "rows of a warp in any order": Mutant(
        "sort", (("peers & ((1u << lane) - 1)", "peers & ~((2u << lane) - 1)"),), SORTED
    ),
    "a label counted once in a warp": Mutant(
        "sort", (("own[key[u]] += __popc(peers);", "own[key[u]] += 1;"),), SORTED
    ),
    "rows placed over each other": Mutant(
        "sort", (("own[key[u]] = taken + __popc(peers);", ";"),), SORTED
    ),
    "rows of zero weight have changed": Mutant(
        "sort",
        (
            (
                "changed += key[u] != NOWHERE && previous[row]",
                "changed += row < stop && previous[row]",
            ),
        ),
        SORTED,
    ),
    "a slice of the lines twice": Mutant(
        "sort",
        (("for (int s = 0; s < slice; ++s) reached", "for (int s = 0; s <= slice; ++s) reached"),),
        SORTED,
    ),
    "bounds begin anew in each warp": Mutant(
        "sort",
        (("for (int s = 0; s < slice; ++s) start +=", "for (int s = 0; s < 0; ++s) start +="),),
        WIDELY_SORTED,
    ),
    "a row too far is sorted": Mutant(
        "sort", (("if (row >= stop ||", "if (row > stop ||"),), WIDELY_SORTED
    ),
    "the last block but one adds up": Mutant(
        "sort",
        (("atomicAdd(ticket, 1u) == gridDim.x - 1", "atomicAdd(ticket, 1u) == gridDim.x - 2"),),
        SORTED,
    ),
    "the ticket is kept": Mutant("sort", (("if (last) *ticket = 0;", ""),), SORTED),
    "no barrier before a block's parts are added": Mutant(
        "means",
        ((f"part[threadIdx.x / 32] = value;\n  {BARRIER}", "part[threadIdx.x / 32] = value;"),),
        partial(LOSSES, loss="l2", weights="none"),
    ),
    "a loss about the anchor": Mutant(
        "means",
        (
            (
                "share * (number - center) * (number - center)",
                "share * (number - anchor) * (number - anchor)",
            ),
        ),
        partial(LOSSES, loss="l2", weights="none"),
    ),
    "a loss without weights": Mutant(
        "means",
        (("loss += share * (number - center)", "loss += (number - center)"),),
        partial(LOSSES, loss="l2", weights="with zeros"),
    ),
    "a gain without weights": Mutant(
        "means",
        (("gain += mass * (after", "gain += (end - begin) * (after"),),
        partial(LOSSES, loss="l2", weights="with zeros"),
    ),
    "a shift with weights": Mutant(
        "means",
        (("shift += (after - before)", "shift += mass * (after - before)"),),
        partial(LOSSES, loss="l2", weights="none"),
    ),
    "gains of the first blocks alone": Mutant(
        "means",
        (("at += (long long)blocks * WARPS", "at += (long long)k * d"),),
        partial(PARTS, loss="l2"),
    ),
    "rows beyond what is read ahead": Mutant(
        "means",
        (("if (p + u < stop) take(", "take("),),
        partial(LOSSES, loss="l1", weights="none"),
    ),
    "both losses of the medians the same": Mutant(
        "means",
        (("share * fabs(number - middle)", "share * fabs(number - old)"),),
        partial(LOSSES, loss="l1", weights="none"),
    ),
    "parts of one block alone": Mutant(
        "means",
        (
            (
                "for (int b = tid; b < blocks; b += THREADS) sum += parts",
                "for (int b = tid; b < 1; b += THREADS) sum += parts",
            ),
        ),
        partial(PARTS, loss="l1"),
    ),
    "no anchor": Mutant(
        "means",
        (
            ("chunk.value ? chunk.at(bounds[j]) : 0", "0"),
            ("rows.template at<double>(order[begin], column) + sum", "sum"),
        ),
        refit.test_the_mean_of_identical_rows_is_that_row,
    ),
    "a chunk's carry lost": Mutant(
        "means",
        (("begin / chunk_rows + 1 + threadIdx", "begin / chunk_rows + 2 + threadIdx"),),
        partial(refit.test_clusters_larger_and_smaller_than_a_chunk, loss="l2", n_clusters=2),
    ),
    "weights ignored in a mean": Mutant(
        "means",
        (("sum += share * (number - anchor);", "sum += number - anchor;"),),
        partial(BRUTE, loss="l2"),
    ),
    "weights ignored in a median": Mutant(
        "medians",
        (("*to += share[u];", "*to += 1;"),),
        partial(BRUTE, loss="l1"),
    ),
    "a median off by one": Mutant(
        "medians", (("s.low = (total + 1) / 2", "s.low = total / 2 + 1"),), EVEN
    ),
    "an even count's upper median": Mutant(
        "medians",
        (("s.high = total / 2", "s.high = (total - 1) / 2"),),
        EVEN,
    ),
    "negative keys in reverse": Mutant(
        "medians",
        (("return bits >> 31 ? ~bits : bits | 0x80000000u;", "return bits ^ 0x80000000u;"),),
        partial(refit.test_medians_of_every_sign_and_size, dtype="float32"),
    ),
    "no barrier before digits are compared": Mutant(
        "medians", ((f"{FOLDED}    {BARRIER}", FOLDED),), partial(BRUTE, loss="l1")
    ),
    "no barrier before trials are used": Mutant(
        "seeding", ((f"{TILE}        {BARRIER}", TILE),), SEED
    ),
    "differences of trials in float32": Mutant(
        "seeding",
        (
            (
                "Cost::add(cost[r][c], own[r], center)",
                "cost[r][c] + Cost::add(0.0f, float(own[r]), float(center))",
            ),
        ),
        partial(TRIED, dtype="float64"),
    ),
    "half of a warp's mass": Mutant(
        "seeding",
        (("int offset = LANES; offset < 32;", "int offset = LANES; offset < 16;"),),
        partial(TRIED, dtype="float32"),
    ),
    "a row on trial too far": Mutant(
        "seeding", (("inside = row < stop;", "inside = row <= stop;"),), SEED, "address"
    ),
    "a draw that forgets earlier blocks": Mutant(
        "seeding", (("rows, block.before, target", "rows, 0, target"),), SEED
    ),
    "a row of zero weight drawn": Mutant(
        "seeding",
        (("if (mass > 0) {", "if (mass >= 0) {"),),
        seeding.test_a_draw_by_cost_takes_no_row_of_zero_weight,
    ),
    "the last trial that ties": Mutant(
        "seeding",
        (("for (int c = trials - 1; c >= 0; --c)", "for (int c = 0; c < trials; ++c)"),),
        partial(seeding.test_trials_that_tie_go_to_the_first, loss="l1", d=2, weights="none"),
    ),
    "one unit for all clusters": Mutant(
        "weights",
        (("scales[cluster_of(bounds, k, p)]", "scales[0]"),),
        partial(weights.test_a_light_cluster_beside_a_heavy_one, ratio=1e18, d=3),
    ),
    "weights cut off": Mutant(
        "weights", (("llrint(scalbn(", "(long long)(scalbn("),), partial(weights.test_units, n=33)
    ),
    "a row of no unit": Mutant(
        "weights", (("count > 0 ? count : 1", "count"),), partial(weights.test_units, n=33)
    ),
    "a weight lost between chunks": Mutant(
        "weights",
        (("begin / chunk_rows + 1 + threadIdx", "begin / chunk_rows + 2 + threadIdx"),),
        partial(weights.test_units, n=200),
    ),
    "halves without rounding": Mutant(
        "medians",
        (("rounded + (total >> 52)", "rounded"),),
        partial(WEIGHED, values=[1, 2, 3], weight=[0.1, 0.2, 0.3], median=2.5),
    ),
    "halves without rounding to units": Mutant(
        "medians",
        (("rounded + (total >> 52)", "(total >> 52)"),),
        partial(WEIGHED, values=[0] * 8000 + [10], weight=[2.1] * 8000 + [16800], median=5),
    ),
    "halves as for sums in a row": Mutant(
        "medians",
        (("rounded + (total >> 52)", "rounded * (total >> 52)"),),
        partial(WEIGHED, values=[1, 2, 3], weight=[2.0**49, 1, 2.0**49], median=2),
    ),
    "the cluster that begins in a chunk lost": Mutant(
        "medians", (("if (j == last) break;", "break;"),), SEGMENTS
    ),
    "counts of the digit before": Mutant("medians", (("if (real) one = 0;", ""),), UNWEIGHTED),
    "a median of zero rows": Mutant("medians", (("if (m == 0)", "if (m < 0)"),), UNWEIGHTED),
    "the next key taken for the last": Mutant(
        "medians",
        (("key[u] > last && key[u] < above", "key[u] > last && key[u] > above"),),
        PARTED,
    ),
    "the next key in the last digit lost": Mutant(
        "medians", (("atomicMin(&s.above, (", "(void)(("),), PARTED
    ),
    "half of the margin of halves": Mutant(
        "tensor",
        (("own + error(far) + deciding", "0.5f * (own + error(far)) + deciding"),),
        AGREEING,
    ),
    "half of the margin of halves, for centres": Mutant(
        "tensor",
        (("own + error(far) + deciding", "0.5f * (own + error(far)) + deciding"),),
        tensor.test_residuals_of_centres_that_agree,
    ),
    "no margin for what a half leaves of a row": Mutant(
        "tensor", (("p = lost + kept *", "p = kept *"),), AGREEING
    ),
    "no margin for what a half leaves of a centre": Mutant(
        "tensor",
        (("kept * (frame.coarse + unit)", "kept * unit"),),
        tensor.test_residuals_of_centres_that_agree,
    ),
    "no margin for the additions": Mutant(
        "tensor",
        (ERRS, ("unit = (added + width / added + 16) * MMA_UNIT +", "unit =")),
        tensor.test_additions_that_err_as_much_as_they_can,
    ),
    "the low halves of centres left out": Mutant(
        "tensor",
        (("mma(c[1][m][n], a[0][m][step], low[", "mma(c[1][m][n], a[0][m][step], high["),),
        NEAR,
    ),
    "the low halves of rows left out": Mutant(
        "tensor",
        (("mma(c[1][m][n], a[1][m][step], high[", "mma(c[1][m][n], a[0][m][step], high["),),
        NEAR,
    ),
    "a lane off": Mutant(
        "tensor",
        (("column + lane / 16 * 8 + lane % 8;", "column + lane / 16 * 8 + (lane + 1) % 8;"),),
        PRODUCT,
    ),
    "a fragment's rows exchanged": Mutant(
        "tensor",
        (("room + lane % 16 * (S::STRIDE / 2)", "room + (lane + 8) % 16 * (S::STRIDE / 2)"),),
        PRODUCT,
    ),
    "a row that halves do not hold trusted": Mutant(
        "tensor",
        (("value[i] -= kept;", "value[i] = fabs(kept) < HALF_MOST ? value[i] - kept : Wide(0);"),),
        partial(
            tensor.test_far_rows_and_extreme_numbers,
            case="rows that float32 does not hold",
            among=False,
            d=8,
        ),
    ),
    "a score of 0 trusted": Mutant(
        "tensor",
        ((" && fabsf(best) > NEGLIGIBLE", ""), FLUSHES),
        tensor.test_a_row_at_the_origin,
    ),
    "rows of the first list lost": Mutant(
        "tensor",
        (("place = atomicAdd(total, __popc(votes));", "place = atomicAdd(total, 1);"),),
        NEAR,
    ),
    "listed rows written over each other": Mutant(
        "tensor", (("open[place + __popc(votes & ((1u << lane) - 1))]", "open[place]"),), NEAR
    ),
    "copies not waited for": Mutant(
        "tensor",
        ((f"      wait();\n{SYNCED}", SYNCED),),
        partial(tensor.test_most_rows_are_decided, d=40),
    ),
    "no barrier before a tile is ranked": Mutant(
        "tensor", ((f"      wait();\n{SYNCED}", SYNCED.replace(BARRIER, "wait();")),), PRODUCT
    ),
    "a tile forgotten": Mutant(
        "tensor",
        (("if (top[s].best != top[s].before) top[s].tile = number;", "top[s].tile = number;"),),
        PRODUCT,
    ),
    "the lists not emptied": Mutant("tensor", (("totals[threadIdx.x] = 0;", ""),), NEAR),
    "a row of the tensor cores too far": Mutant(
        "tensor", (("inside = at < count ? at : count - 1;", "inside = at;"),), PRODUCT, "address"
    ),
    "a wide tile's lane off": Mutant(
        "tensor",
        (("column = S::ROWS + 8 * n + lane / 16 * 8", "column = S::ROWS + 8 * n + lane / 8 * 8"),),
        WIDE,
    ),
    "a wide row's chunk forgotten": Mutant(
        "tensor", (("last ? 0 : (part + 1) * S::CHUNK);", "last ? 0 : part * S::CHUNK);"),), WIDE
    ),
    "wide rows' low halves left out": Mutant(
        "tensor",
        (("mma(c[2][m][n + i], a[1][m], high", "mma(c[2][m][n + i], a[0][m], high"),),
        partial(NEAR, d=300),
    ),
    "chunks' sums lost": Mutant(
        "tensor", (("            c[0][m][n][e] = 0;", ""),), partial(NEAR, d=300)
    ),
}


def passes_on_host(mutant: Mutant) -> bool:
    """Whether the mutant's test passes, in a process of its own, as some mistakes end it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        from conftest import BACKENDS
        from tests.gpuless.host_module import HostModule
        from tests.support.kernels_on_host import kernels_on_host

        with BACKENDS["numpy"]() as gpu, kernels_on_host(HostModule, mutant):
            mutant.test(gpu)
    except BaseException:  # what pytest.fail and pytest.skip raise is no Exception
        os._exit(1)
    os._exit(0)


def passes_sanitizer(name: str) -> bool:
    """Whether its test passes under the sanitizer; a test that cannot run has caught nothing."""
    mutant = MUTANTS[name]
    test: Any = mutant.test
    chosen = " and ".join([test.func.__name__, *map(str, test.keywords.values())])
    chosen = re.sub(r"\((\d+),[^)]*\)", r"\1", chosen)  # -k reads parentheses as its own
    file = test.func.__module__.replace(".", "/") + ".py"
    sanitizer = "-m", "tests.gpuless.sanitize", mutant.layer
    command = [*sanitizer, "-q", "-x", "-m", "", "-k", chosen, file]
    environment = {**os.environ, "KMGPU_MUTANT": name}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    return "Sanitizer" not in done.stderr or done.returncode == 0
