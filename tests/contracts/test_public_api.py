"""The names users may rely on."""

import ast
import doctest
import inspect
import re
import sys

import pytest

import kmgpu
from kmgpu import estimators

NAMES = [
    "COSINE",
    "L1",
    "L2",
    "HalfStep",
    "KMeans",
    "KMedians",
    "Loss",
    "RowBlocks",
    "SphericalKMeans",
    "Sweep",
    "lloyd",
    "sweep",
]
NAMES += ["get_num_threads", "set_num_threads"]
PARAMETERS = ["n_clusters", "init", "n_init", "max_iter", "tol", "verbose", "random_state"]
PARAMETERS += ["copy_x", "algorithm", "empty_cluster", "device", "memory_budget", "progress"]
PARAMETERS += ["max_samples", "checkpoint", "callback"]
METHODS = ["fit", "predict", "fit_predict", "transform", "fit_transform", "score"]


def test_all_names_what_is_there():
    assert set(NAMES) <= set(kmgpu.__all__)
    public = {name for name in dir(kmgpu) if not name.startswith("_")}
    modules = {name for name in public if inspect.ismodule(getattr(kmgpu, name))}
    assert public - modules == set(kmgpu.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", kmgpu.__version__)


def test_names_are_imported_from_the_homes_that_type_checkers_read():
    tree = ast.parse(inspect.getsource(kmgpu))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If) and not node.orelse][:1]
    read = {alias.name: node.module for node in checked.body for alias in node.names}
    homes = {name: f"kmgpu.{home}" for name, home in kmgpu._HOMES.items()}
    assert read == homes | dict.fromkeys(kmgpu._MODULES, "kmgpu")
    assert sorted(homes) == sorted(kmgpu.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'kmgpu' has no attribute 'KMeens'"):
        kmgpu.KMeens  # noqa: B018
    assert not hasattr(kmgpu, "KMeens")


def test_a_star_brings_all_public_names():
    names = {}
    exec("from kmgpu import *", names)
    assert set(kmgpu.__all__) <= set(names)


@pytest.mark.parametrize("name", kmgpu.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(kmgpu, name)
    doc = inspect.getdoc(thing if callable(thing) else type(thing))
    assert doc
    assert not doc.startswith(f"{name}("), "that is the docstring dataclasses makes up"


@pytest.mark.parametrize("estimator", [kmgpu.KMeans, kmgpu.KMedians, kmgpu.SphericalKMeans])
def test_estimators_document_parameters_attributes_and_methods(estimator):
    assert list(inspect.signature(estimator).parameters) == PARAMETERS
    doc = inspect.getdoc(estimator)
    model = estimator(2, random_state=0).fit([[2.0], [1.0], [-5.0]])
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    for name in [*PARAMETERS, *fitted]:
        assert re.search(rf"^{name} : ", doc, flags=re.M), f"{name} is not documented"
    for name in METHODS:
        assert inspect.getdoc(getattr(estimator, name))


@pytest.mark.parametrize("function", [kmgpu.lloyd, kmgpu.sweep, kmgpu.set_num_threads])
def test_functions_document_their_parameters(function):
    doc = inspect.getdoc(function)
    for name in inspect.signature(function).parameters:
        assert re.search(rf"^{name} : ", doc, flags=re.M), f"{name} is not documented"


def test_half_steps_and_losses_document_their_fields():
    for record in (kmgpu.HalfStep, kmgpu.Loss, kmgpu.Sweep):
        for name in inspect.signature(record).parameters:
            assert re.search(rf"^{name} : ", inspect.getdoc(record), flags=re.M), name


def test_the_examples_of_the_docstrings_run():
    for module, least in (
        (estimators, 8),
        (sys.modules["kmgpu.selection.sweep"], 5),
        (kmgpu.backend.threads, 3),
    ):
        ran = doctest.testmod(module)
        assert ran.attempted >= least
        assert ran.failed == 0
