"""`featurescope tokens`: make, list and revoke the tokens that people and programs sign in with."""

import argparse
from datetime import UTC, datetime, timedelta

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.errors import Invalid
from app.roles import How, Person, Role, parse_role, parse_roles
from app.store.audit import audited
from app.store.database import Database
from app.store.tokens import create_token, list_tokens, revoke_token

OPERATOR = Person("command line", Role.ADMIN, How.OPEN)
MOST_DAYS = 36_500


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("tokens", help="make, list and revoke tokens to sign in with")
    each = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = each.add_parser("create", help="make one; it is printed once and cannot be had again")
    make.add_argument("name", metavar="NAME", help="whom it is for; labels and the audit log have this name")
    make.add_argument("--role", default="read", help="read (default), label, admin, metrics, or nobody but for --on")
    make.add_argument("--on", default="", metavar="ID=ROLE", help="roles in single dictionaries: demo=label,other=read")
    make.add_argument("--days", type=int, help="how long it is good (default: until revoked)")
    listed = each.add_parser("list", help="list them, without their secrets")
    revoke = each.add_parser("revoke", help="end one; browsers that signed in with it are signed out")
    revoke.add_argument("id", type=int, metavar="ID")
    for action, run in ((make, run_create), (listed, run_list), (revoke, run_revoke)):
        add_database(action)
        action.set_defaults(run=run)


def run_create(asked: argparse.Namespace) -> None:
    role, roles = parse_role(asked.role), parse_roles(asked.on)
    expires_at = expiry(asked.days)
    database = _database(asked)
    try:
        with database.write() as session, audited(session, OPERATOR, "tokens create"):
            token, secret = create_token(session, asked.name, role, roles, expires_at)
    finally:
        database.close()
    until = "until it is revoked" if token.expires_at is None else f"until {token.expires_at:%Y-%m-%d}"
    print(f"Token {token.id} of {token.name}, role {token.role}, good {until}. It is shown this once:\n{secret}")


def run_list(asked: argparse.Namespace) -> None:
    database = _database(asked)
    try:
        with database.read() as session:
            tokens = list_tokens(session)
    finally:
        database.close()
    now = datetime.now(UTC)
    for token in tokens:
        roles = "".join(f" {id}={role}" for id, role in sorted(token.dictionaries.items()))
        print(
            f"{token.id}\t{token.name}\t{token.role}{roles}\t{token.state(now)}\t"
            f"expires {_day(token.expires_at)}\tlast used {_day(token.last_used_at)}"
        )


def run_revoke(asked: argparse.Namespace) -> None:
    database = _database(asked)
    try:
        with database.write() as session, audited(session, OPERATOR, "tokens revoke"):
            token = revoke_token(session, asked.id)
    finally:
        database.close()
    print(f"Token {token.id} of {token.name} is revoked.")


def expiry(days: int | None) -> datetime | None:
    """When what is made now expires. Raises Invalid."""
    if days is None:
        return None
    if not 0 < days <= MOST_DAYS:
        raise Invalid(f"--days takes 1 to {MOST_DAYS}, not {days}.")
    return datetime.now(UTC) + timedelta(days=days)


def _database(asked: argparse.Namespace) -> Database:
    return existing_database(settings_of(asked))


def _day(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d}"
