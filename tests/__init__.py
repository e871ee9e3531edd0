"""Tests, mirroring the floors of the package; journeys run real processes."""
