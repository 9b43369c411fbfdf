"""Errors in Salesforce's own shape.

REST answers an error as a list of `{errorCode, message, fields}` ("REST API Developer Guide: Status Codes and Error
Responses"); an sObject Collections answer carries `{statusCode, message, fields}` per record.
"""

from collections.abc import Sequence


class ApiError(Exception):
    """One refusal of the org: an error code of the API, its message, and the fields it is about."""

    def __init__(self, code: str, message: str, *, fields: Sequence[str] | None = None, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.status = status

    def body(self) -> list[dict[str, object]]:
        """The body of a REST error answer; `fields` only where the API sends it (errors of a save)."""
        error: dict[str, object] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = list(self.fields)
        return [error]

    def save_error(self) -> dict[str, object]:
        """The same refusal inside a SaveResult of sObject Collections."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


def invalid_session() -> ApiError:
    return ApiError("INVALID_SESSION_ID", "Session expired or invalid", status=401)


def not_found() -> ApiError:
    return ApiError("NOT_FOUND", "The requested resource does not exist", status=404)


def entity_is_deleted() -> ApiError:
    return ApiError("ENTITY_IS_DELETED", "entity is deleted", fields=[], status=404)


def locked(record_id: str) -> ApiError:
    message = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return ApiError("UNABLE_TO_LOCK_ROW", message, fields=[])


def malformed_id(label: str, text: str) -> ApiError:
    return ApiError("MALFORMED_ID", f"{label} ID: id value of incorrect type: {text}", fields=["Id"])


def no_such_field(name: str, object_name: str) -> ApiError:
    return ApiError("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_name}")


def json_parser_error(message: str) -> ApiError:
    return ApiError("JSON_PARSER_ERROR", f"{message} at [line:1, column:1]")


def unknown_object(name: str) -> ApiError:
    return ApiError(
        "INVALID_TYPE",
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the "
        "'__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
    )
