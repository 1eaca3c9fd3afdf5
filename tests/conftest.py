"""Profiles of the property tests: `ci` for the suite, `long` for a thorough run (--hypothesis-profile=long).

The suite draws the same examples every time, so that a change is judged by what it did; the long run draws others.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("ci"), max_examples=10_000, derandomize=False)
settings.load_profile("ci")


def pytest_addoption(parser):
    parser.addoption(
        "--overwrite", action="store_true", help="write the golden files anew; read the difference before a commit"
    )
