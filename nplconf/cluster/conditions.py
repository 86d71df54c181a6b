"""The condition of the readiness gate as the API server holds it."""

from datetime import UTC, datetime

from nplconf.model import GATE, Condition


def condition(found: Condition, changed_at: float | None) -> dict[str, str]:
    """Return a condition as JSON. changed_at: when its status changes, seconds since 1970; None: it does not."""
    data = {"type": GATE, "status": found.status, "reason": found.reason, "message": found.message}
    if changed_at is not None:
        data["lastTransitionTime"] = datetime.fromtimestamp(changed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return data
