"""The version of kmgpu: the build, models and ``kmgpu info`` read it here."""

__version__ = "0.1.0"
