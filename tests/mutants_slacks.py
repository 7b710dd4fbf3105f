"""Room for rounding left out of the CPU kernels, each as (source, old, new, test).

See `tests.mutants_cpu`, which plants them: a source lies below kmgpu/kernels/cpu.
"""

LOW = "test_slacks_low.py::"
NEAR = f"{LOW}test_labels_where_float32_rounds_too_much"
SLACKS = {
    "no relative error of a fused distance": (
        "bounds.py",
        "data.dtype.type((data.d + 8) * info.eps)",
        "data.dtype.type(0)",
        f"{NEAR}[far rows-3-l2]",
    ),
    "a fused distance certain from above": (
        "nearest.py",
        "up, down = 1 + gamma, 1 - gamma",
        "up, down = 1 - gamma, 1 + gamma",
        f"{NEAR}[far rows-40-l1]",
    ),
    "no room for the way to the reference": (
        "bounds.py",
        "loose[j] = 2 * np.finfo(c.dtype).eps * length",
        "loose[j] = 0.0 * length",
        f"{NEAR}[far group-3-l2]",
    ),
    "no room for squares that underflow": (
        "bounds.py",
        "4 * (np.sqrt(data.d * least) if squared else data.d * least)",
        "0 * (np.sqrt(data.d * least) if squared else data.d * least)",
        f"{NEAR}[underflow-40-l2]",
    ),
    "no relative error of an exact gap": (
        "nearest.py",
        "error, least = (d + 8) * EPS,",
        "error, least = 0 * EPS,",
        f"{LOW}test_rows_as_near_to_two_centres_as_float64_can_tell_are_never_settled[3-l2]",
    ),
    "gaps rounded to the nearest float32": (
        "nearest.py",
        "value * (1 - 2.0**-22) - SMALLEST",
        "value - SMALLEST",
        f"{LOW}test_stored_gaps_are_rounded_down",
    ),
    "gaps that underflow rounded to the nearest": (
        "nearest.py",
        "value * (1 - 2.0**-22) - SMALLEST",
        "value * (1 - 2.0**-22)",
        f"{LOW}test_stored_gaps_are_rounded_down",
    ),
    "movement that underflows forgotten": (
        "bounds.py",
        "moved[j] += 0.0 if still else tiny",
        "moved[j] += 0.0",
        f"{LOW}test_drifts_are_no_less_than_centres_have_moved[1e-170-l2]",
    ),
    "drifts that round down": (
        "bounds.py",
        " * (1 + (d + 8) * np.finfo(np.float64).eps)",
        "",
        f"{LOW}test_drifts_are_no_less_than_centres_have_moved[1.0-l1]",
    ),
    "limits rounded to the nearest float32": (
        "bounds.py",
        "np.where(limit < drift, np.nextafter(limit, np.float32(np.inf)), limit)",
        "limit",
        f"{LOW}test_limits_that_rows_are_compared_with_are_rounded_up[l2]",
    ),
}
