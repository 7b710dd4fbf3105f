"""Room for rounding left out of bounds in few features and of k-medians.

Name: (source, old, new, test). See `tests.mutants.cpu`, which plants them.
"""

LOW = "test_slacks_low.py::"
NEAR = f"{LOW}test_labels_where_float32_rounds_too_much"
GROUPED = "test_slacks_grouped.py::"
GROUPED_NEAR = f"{GROUPED}test_labels_where_float32_rounds_too_much"
ONE_WAY = f"{GROUPED}test_bounds_of_sums_that_round_one_way"

SLACKS = {
    "no relative error of a fused distance": (
        "lowdim/bounds.py",
        "data.dtype.type((data.d + 8) * info.eps)",
        "data.dtype.type(0)",
        f"{NEAR}[far rows-3-l2]",
    ),
    "a fused distance certain from above": (
        "lowdim/nearest.py",
        "up, down = 1 + gamma, 1 - gamma",
        "up, down = 1 - gamma, 1 + gamma",
        f"{NEAR}[far rows-40-l1]",
    ),
    "no room for the way to the reference": (
        "lowdim/bounds.py",
        "loose[j] = 2 * np.finfo(c.dtype).eps * length",
        "loose[j] = 0.0 * length",
        f"{NEAR}[far group-3-l2]",
    ),
    "no room for squares that underflow": (
        "lowdim/bounds.py",
        "4 * (np.sqrt(data.d * least) if squared else data.d * least)",
        "0 * (np.sqrt(data.d * least) if squared else data.d * least)",
        f"{NEAR}[underflow-40-l2]",
    ),
    "no relative error of an exact gap": (
        "lowdim/nearest.py",
        "error, least = (d + 8) * EPS,",
        "error, least = 0 * EPS,",
        f"{LOW}test_rows_as_near_to_two_centres_as_float64_can_tell_are_never_settled[3-l2]",
    ),
    "gaps rounded to the nearest float32": (
        "lowdim/nearest.py",
        "value * (1 - 2.0**-22) - SMALLEST",
        "value - SMALLEST",
        f"{LOW}test_stored_gaps_are_rounded_down",
    ),
    "gaps that underflow rounded to the nearest": (
        "lowdim/nearest.py",
        "value * (1 - 2.0**-22) - SMALLEST",
        "value * (1 - 2.0**-22)",
        f"{LOW}test_stored_gaps_are_rounded_down",
    ),
    "movement that underflows forgotten": (
        "lowdim/bounds.py",
        "moved[j] += 0.0 if still else tiny",
        "moved[j] += 0.0",
        f"{LOW}test_drifts_are_no_less_than_centres_have_moved[1e-170-l2]",
    ),
    "drifts that round down": (
        "lowdim/bounds.py",
        " * (1 + (d + 8) * np.finfo(np.float64).eps)",
        "",
        f"{LOW}test_drifts_are_no_less_than_centres_have_moved[1.0-l1]",
    ),
    "limits rounded to the nearest float32": (
        "lowdim/bounds.py",
        "near if near >= drift[j] else np.nextafter(near, np.float32(np.inf))",
        "near",
        f"{LOW}test_limits_that_rows_are_compared_with_are_rounded_up[l2]",
    ),
    "no relative error of a summed distance": (
        "medians/rounding.py",
        "gamma = (data.d / 32 + 72) * eps + exact",
        "gamma = 0.0 * (eps + exact)",
        f"{GROUPED}test_sums_that_round_one_way_change_no_label[40-32-dense]",
    ),
    "no relative error of a followed distance": (
        "medians/rounding.py",
        "gamma = (data.d / 32 + 72) * eps + exact",
        "gamma = 0.0 * (eps + exact)",
        f"{GROUPED}test_sums_that_round_one_way_change_no_label[2600-64-elkan]",
    ),
    "sums that were rounded down": (
        "medians/rounding.py",
        "1 + 3 * gamma",
        "1.0",
        f"{ONE_WAY}[0.99-40]",
    ),
    "sums that were rounded up": (
        "medians/rounding.py",
        "1 - 3 * gamma",
        "1.0",
        f"{ONE_WAY}[1.01-40]",
    ),
    "no room for the origin of sums": (
        "medians/rounding.py",
        "origin=eps * (1 + 2.0**-20)",
        "origin=0.0 * eps",
        f"{GROUPED_NEAR}[far group-40-dense]",
    ),
    "no room for the lengths of centres": (
        "medians/rounding.py",
        "(np.float64(cost) * rounding.up + lengths[j])",
        "(np.float64(cost) * rounding.up)",
        f"{GROUPED_NEAR}[far group-40-elkan]",
    ),
    "no room for coordinates that underflow": (
        "medians/rounding.py",
        "tiny=2 * data.d * float(info.smallest_subnormal)",
        "tiny=0.0",
        f"{GROUPED_NEAR}[underflow-40-dense]",
    ),
    "bounds rounded to the nearest float32": (
        "medians/rounding.py",
        "ROUNDED = 2.0**-21",
        "ROUNDED = 0.0",
        f"{GROUPED}test_stored_bounds_are_rounded_outwards",
    ),
    "bounds that underflow rounded to the nearest": (
        "medians/rounding.py",
        "LEAST = 2.0**-126",
        "LEAST = 0.0",
        f"{GROUPED}test_stored_bounds_are_rounded_outwards",
    ),
    "lower bounds rounded up": (
        "medians/rounding.py",
        "v -= abs(v) * ROUNDED + LEAST",
        "v += abs(v) * ROUNDED + LEAST",
        f"{GROUPED}test_stored_bounds_are_rounded_outwards",
    ),
    "upper bounds rounded down": (
        "medians/rounding.py",
        "v += abs(v) * ROUNDED + LEAST",
        "v -= abs(v) * ROUNDED + LEAST",
        f"{GROUPED}test_stored_bounds_are_rounded_outwards",
    ),
    "an infinite distance taken for one": (
        "medians/rounding.py",
        "min(np.float64(cost), rounding.most)",
        "np.float64(cost)",
        f"{GROUPED}test_a_distance_that_overflows_may_be_the_largest_number[float32]",
    ),
    "lengths and drifts rounded to the nearest": (
        "medians/grouped.py",
        "up = 1 + (d + 4) * EPS",
        "up = 1.0",
        f"{GROUPED}test_lengths_and_drifts_are_rounded_up",
    ),
}
