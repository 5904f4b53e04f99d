"""Dictionaries: what can be browsed here."""

from fastapi import APIRouter

from app.access.routes import needs
from app.api.parameters import StoredDictionary, problems
from app.api.schemas.dictionaries import Dictionary, DictionaryDetail, DictionaryList
from app.roles import Role
from app.serving import ReadSession
from app.store.dictionaries import list_dictionaries

router = APIRouter(tags=["dictionaries"], dependencies=[needs(Role.READ)])


@router.get("/dictionaries", summary="List the dictionaries", responses=problems(500, 503))
def read_dictionaries(session: ReadSession) -> DictionaryList:
    return DictionaryList(dictionaries=[Dictionary.model_validate(found) for found in list_dictionaries(session)])


@router.get("/dictionaries/{dictionary_id}", summary="One dictionary", responses=problems(404, 422, 500, 503))
def read_dictionary(dictionary: StoredDictionary) -> DictionaryDetail:
    """With its corpus, every parameter of its build, and the histogram of its features' densities."""
    return DictionaryDetail.model_validate(dictionary)
