"""Room for rounding left out of k-means of many features, the reference and sums of weights.

Name: (source, old, new, test). See `tests.mutants.cpu`, which plants them.
"""

HIGH = "test_slacks_high.py::"
HIGH_NEAR = f"{HIGH}test_labels_and_bounds_where_float32_rounds_too_much"
ERRING = f"{HIGH}test_scores_that_err_as_much_as_they_may_change_no_label"
SCREEN = "test_slacks_screen.py::test_labels_and_bounds_where_float32_rounds_too_much"
REFERENCE = "test_slacks_reference.py::test_scores_that_err_as_much_as_they_may"
REFERENCE_NEAR = "test_slacks_reference.py::test_labels_where_float32_rounds_too_much"
ASSIGNMENT = "test_slacks_assignment.py::"
WEIGHTS = "test_slacks_weights.py::"
FALLS = f"{WEIGHTS}test_a_loss_that_falls_to_nearly_nothing_is_summed_anew"

HIGH_SLACKS = {
    "no error of a score": (
        "highdim/targets.py",
        "kind.type((centers.shape[1] + 16) * info.eps / 2)",
        "kind.type(0)",
        f"{HIGH_NEAR}[far rows-dense-40]",
    ),
    "no error of a long centre's score": (
        "highdim/targets.py",
        "squares * (1 - 2.5 * float(roundoff))",
        "squares * 1.0",
        f"{ERRING}[alike-1.0-float32-40]",
    ),
    "no error of a long row's score": (
        "highdim/dense.py",
        "kind(2.1) * square + min(near, kind(wide))",
        "min(near, kind(wide))",
        f"{ERRING}[alike-30.0-float32-40]",
    ),
    "no error of the least score": (
        "highdim/dense.py",
        "kind(2.1) * square + min(near, kind(wide))",
        "kind(2.1) * square",
        f"{ERRING}[alike-1.0-float32-40]",
    ),
    "no error of the least score, far off": (
        "highdim/dense.py",
        "near = kind(9) * square + kind(3) * max(low + square, kind(0))",
        "near = kind(9) * square",
        f"{ERRING}[on a line-1.0-float32-40]",
    ),
    "no room for scores that underflow": (
        "highdim/dense.py",
        "return low + error + least * least",
        "return low + error",
        f"{HIGH_NEAR}[underflow-dense-40]",
    ),
    "stored bounds of scores as they are": (
        "highdim/dense.py",
        "error = kind(roundoff * (norms[e] + top) ** 2) + tiny * tiny",
        "error = tiny * tiny",
        f"{HIGH_NEAR}[far group-elkan-40]",
    ),
    "stored bounds of scores that underflow": (
        "highdim/dense.py",
        "(norms[e] + top) ** 2) + tiny * tiny",
        "(norms[e] + top) ** 2)",
        f"{HIGH_NEAR}[underflow-elkan-40]",
    ),
    "movement rounded to the nearest": (
        "highdim/targets.py",
        "moved=moved.astype(kind) * (1 + roundoff)",
        "moved=moved.astype(kind)",
        f"{HIGH}test_movement_is_rounded_up[float32]",
    ),
    "upper bounds that do not age outwards": (
        "highdim/pruning.py",
        "(upper + moved) * (kind(1) + roundoff)",
        "upper + moved",
        f"{HIGH}test_bounds_age_outwards",
    ),
    "lower bounds that do not age outwards": (
        "highdim/pruning.py",
        "(lower - furthest) * (kind(1) - roundoff)",
        "lower - furthest",
        f"{HIGH}test_bounds_age_outwards",
    ),
    "no rounding of a row and a centre": (
        "highdim/pruning.py",
        "return kind(norm) * kind(2.01 * np.finfo(kind).eps) + least",
        "return kind(0) * kind(norm) + least",
        f"{HIGH_NEAR}[far group-elkan-40]",
    ),
    "no room for distances that underflow": (
        "highdim/pruning.py",
        "return kind(norm) * kind(2.01 * np.finfo(kind).eps) + least",
        "return kind(norm) * kind(2.01 * np.finfo(kind).eps)",
        f"{HIGH_NEAR}[underflow-elkan-40]",
    ),
    "own distances as computed": (
        "highdim/pruning.py",
        "            limit = np.sqrt(best) * more + rest\n        row, path",
        "            limit = np.sqrt(best)\n        row, path",
        f"{HIGH}test_bounds_of_rows_that_their_own_distance_settles[0.1]",
    ),
    "own distances of open rows as computed": (
        "highdim/pruning.py",
        "            limit = np.sqrt(best) * more + rest\n        upper[i] = limit",
        "            limit = np.sqrt(best)\n        upper[i] = limit",
        f"{HIGH}test_bounds_of_rows_that_their_own_distance_settles[0.001]",
    ),
    "distances of new centres as computed": (
        "highdim/pruning.py",
        "reach = np.sqrt(best) * more + rest",
        "reach = np.sqrt(best)",
        f"{HIGH_NEAR}[equally far-elkan-40]",
    ),
    "second distances as computed": (
        "highdim/pruning.py",
        "next_ = np.sqrt(second) * less - rest",
        "next_ = np.sqrt(second)",
        f"{HIGH_NEAR}[equally far-elkan-40]",
    ),
    "a new label's distance as a bound": (
        "highdim/pruning.py",
        "next_ = np.sqrt(best) * less - rest",
        "next_ = np.sqrt(best)",
        f"{HIGH_NEAR}[equally far-elkan-40]",
    ),
    "stored distances as computed": (
        "highdim/pruning.py",
        "far[e] = max(np.sqrt(far[e]) * less - rest, kind(0))",
        "far[e] = np.sqrt(far[e])",
        f"{HIGH}test_bounds_of_rows_that_are_measured_anew",
    ),
    "a former centre's distance as computed": (
        "highdim/pruning.py",
        "max(np.sqrt(own) * less - rest, kind(0)), label",
        "np.sqrt(own), label",
        f"{HIGH}test_bounds_of_rows_that_are_measured_anew",
    ),
    "paths rounded down": (
        "highdim/stored.py",
        "levels = np.ceil(self._path * (1 + rounding) / self._strides[:, None])",
        "levels = np.floor(self._path * (1 + rounding) / self._strides[:, None])",
        f"{HIGH}test_paths_are_rounded_up_and_down[float32]",
    ),
    "sums of paths taken for exact": (
        "highdim/stored.py",
        "self._path * (1 + rounding)",
        "self._path",
        f"{HIGH}test_paths_are_rounded_up_and_down[float64]",
    ),
    "paths rounded up where they are added": (
        "highdim/stored.py",
        "self._path * (1 - rounding)",
        "self._path",
        f"{HIGH}test_paths_are_rounded_up_and_down[float32]",
    ),
    "measured distances as computed": (
        "highdim/screen.py",
        "return np.sqrt(square) * more + rest",
        "return np.sqrt(square)",
        f"{SCREEN}[equally_far-40]",
    ),
    "second measured distances as computed": (
        "highdim/screen.py",
        "next_ = np.sqrt(second[e]) * less - rest",
        "next_ = np.sqrt(second[e])",
        f"{SCREEN}[equally_far-40]",
    ),
    "a measured distance as a bound": (
        "highdim/screen.py",
        "next_ = np.sqrt(near[e]) * less - rest",
        "next_ = np.sqrt(near[e])",
        f"{SCREEN}[equally_far-40]",
    ),
    "a sketch's bounds of rows as written": (
        "highdim/screen.py",
        " - sketch.error[i]\n",
        "\n",
        f"{SCREEN}[clipped-40]",
    ),
    "no error of a reference score": (
        "../../algorithm/losses.py",
        "least + 2.1 * roundoff * error + tiny",
        "least + tiny",
        f"{REFERENCE}[numpy-l2-1-0-40]",
    ),
    "no error of a distant reference score": (
        "../../algorithm/losses.py",
        "near = 10 * square + 2 * xp.maximum(",
        "near = 10 * square + 0 * xp.maximum(",
        f"{REFERENCE}[numpy-l2-0.01-0-40]",
    ),
    "no room for reference scores that underflow": (
        "../../algorithm/losses.py",
        "2.1 * roundoff * error + tiny",
        "2.1 * roundoff * error",
        f"{REFERENCE_NEAR}[numpy-underflow-l2-40]",
    ),
    "no error of a reference sum": (
        "../../algorithm/losses.py",
        "return (least * (1 + roundoff) + rounding * length + tiny) * (1 + 2 * roundoff)",
        "return least + rounding * length + tiny",
        f"{REFERENCE}[numpy-l1-1-0-40]",
    ),
    "no rounding of reference rows and centres": (
        "../../algorithm/losses.py",
        "(least * (1 + roundoff) + rounding * length + tiny)",
        "(least * (1 + roundoff) + tiny)",
        f"{REFERENCE}[numpy-l1-1-1000-3]",
    ),
    "no room for reference centres that underflow": (
        "../../algorithm/losses.py",
        "rounding * length + tiny)",
        "rounding * length)",
        f"{REFERENCE_NEAR}[numpy-underflow-l1-40]",
    ),
    "distances of products that cancel": (
        "assignment.py",
        "if not error <= _FINE * cost:",
        "if error < 0:",
        f"{ASSIGNMENT}test_distances_that_products_would_lose_are_taken_from_differences[40]",
    ),
    "the least of products taken for the label": (
        "assignment.py",
        "nearest * (1 + 4 * _FINE)",
        "nearest",
        f"{ASSIGNMENT}test_the_least_of_distances_that_products_cannot_tell_apart_is_the_label[40]",
    ),
    "rounding of weight that has left": (
        "../departed.py",
        "MOST_LEFT = 64.0",
        "MOST_LEFT = np.inf",
        f"{WEIGHTS}test_a_heavy_row_at_the_origin_of_sums_leaves_no_weight_behind[numpy-1e+17-40]",
    ),
    "weight that has left, few features": (
        "../departed.py",
        "MOST_LEFT = 64.0",
        "MOST_LEFT = np.inf",
        f"{WEIGHTS}test_a_heavy_row_at_the_origin_of_sums_leaves_no_weight_behind[numpy-1e+17-3]",
    ),
    "rounding of rows that have left": (
        "../departed.py",
        "MOST_LENGTHS_LEFT = 4096.0",
        "MOST_LENGTHS_LEFT = np.inf",
        "test_weights.py::test_a_row_that_left_for_far_away_leaves_no_rounding_behind[1000000000000.0-40]",
    ),
    "halves without rounding of weights": (
        "../agreement.py",
        "n_rounded + (total >> ROUNDED)",
        "n_rounded",
        f"{WEIGHTS}test_halves_that_are_equal_up_to_their_rounding[numpy-1-rounded weights]",
    ),
    "halves without rounding to units": (
        "../agreement.py",
        "n_rounded + (total >> ROUNDED)",
        "(total >> ROUNDED)",
        f"{WEIGHTS}test_halves_that_are_equal_up_to_their_rounding[numpy-1-rounded units]",
    ),
    "a loss that cancels kept": (
        "highdim/sums.py",
        "if not loss > _CANCELLED * self._total:",
        "if False:",
        f"{FALLS}[HighDimensionalL2-l2-40]",
    ),
    "a loss that cancels kept, few features": (
        "lowdim/engine.py",
        "if not loss > 1e-5 * total:",
        "if False:",
        f"{FALLS}[LowDimMeans-l2-3]",
    ),
    "a loss that cancels kept, medians": (
        "medians/engine.py",
        "if loss is None or not loss + change > CANCELLED * loss:",
        "if loss is None:",
        f"{FALLS}[Medians-l1-3]",
    ),
}
