"""What several tests of the coupling share."""

from tests.composition.coupling.toy import cache

__all__ = ["cache"]
