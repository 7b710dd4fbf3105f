"""What matplotlib has drawn: texts that must not overlap, markers by their label."""

from __future__ import annotations


def texts(axes, renderer):
    """The texts of some axes that reach the paper, and where."""
    found = [axes.title, *axes.texts]
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        ticks = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
        found += [axis.label, *(tick.label1 for tick in ticks)]
    if axes.get_legend() is not None:
        found += axes.get_legend().get_texts()
    for text in found:
        if text.get_text() and text.get_visible():
            yield text, text.get_window_extent(renderer)


def assert_nothing_overlaps(figure):
    """No two texts of a drawn figure cover each other, and none leaves it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [pair for axes in figure.axes for pair in texts(axes, renderer)]
    boxes += [(t, t.get_window_extent(renderer)) for le in figure.legends for t in le.get_texts()]
    assert len(boxes) >= 8
    for at, (text, box) in enumerate(boxes):
        assert figure.bbox.contains(box.x0, box.y0), text
        assert figure.bbox.contains(box.x1, box.y1), text
        for other, other_box in boxes[:at]:
            assert not box.overlaps(other_box), (text, other)


def points_at(axes, label):
    (found,) = [part for part in axes.collections if part.get_label().startswith(label)]
    return found
