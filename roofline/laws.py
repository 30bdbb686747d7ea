"""The physical laws that every estimate obeys, and their check on a part."""

from roofline.trust.laws import FACTS, GROUPS, LAWS, Case, Finding, Law, LawResult, check_law, check_laws

__all__ = ["FACTS", "GROUPS", "LAWS", "Case", "Finding", "Law", "LawResult", "check_law", "check_laws"]
