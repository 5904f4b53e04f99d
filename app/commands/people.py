"""`featurescope people`: the roles of whom OpenID Connect or a proxy names."""

import argparse

from app.commands.options import Subparsers, add_database, existing_database, settings_of
from app.commands.tokens import OPERATOR
from app.roles import parse_role, parse_roles
from app.store.audit import audited
from app.store.people import list_people, remove_person, set_person


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("people", help="give roles to people whom a proxy or OpenID Connect names")
    each = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = each.add_parser("list", help="who was given which role")
    give = each.add_parser("set", help="give somebody a role, in the place of the one they have")
    give.add_argument("name", metavar="NAME", help="as the proxy or OpenID Connect names them, such as ada@example.org")
    give.add_argument("--role", default="read", help="read (default), label, admin, or nobody but for --on")
    give.add_argument("--on", default="", metavar="ID=ROLE", help="roles in single dictionaries: demo=label,other=read")
    remove = each.add_parser("remove", help="make them a newcomer again")
    remove.add_argument("name", metavar="NAME")
    for action in (listed, give, remove):
        add_database(action)
        action.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    database = existing_database(settings_of(asked))
    try:
        if asked.action == "list":
            with database.read() as session:
                for person in list_people(session):
                    roles = "".join(f" {id}={role}" for id, role in sorted(person.dictionaries.items()))
                    print(f"{person.name}\t{person.role}{roles}")
            return
        with database.write() as session, audited(session, OPERATOR, f"people {asked.action}"):
            if asked.action == "set":
                person = set_person(session, asked.name, parse_role(asked.role), parse_roles(asked.on))
                print(f"{person.name} has the role {person.role}.")
            else:
                remove_person(session, asked.name)
                print(f"{asked.name} has no role of their own any more.")
    finally:
        database.close()
