"""Client of chatstore, a service in front of the database files of chat bots.

Client is for asyncio, SyncClient blocks; both have one method for each call of the contract, with
keyword arguments, and answer rows as dictionaries. chatstore.wrapper has the DatabaseWrapper that
bots know.
"""

from chatstore.aio import Client
from chatstore.contract import Outcome
from chatstore.errors import (
    Aborted, AlreadyExists, ChatstoreError, DataLoss, DeadlineExceeded, FailedPrecondition, Internal,
    InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, SourceFailure, Unauthenticated,
    Unavailable, Unimplemented,
)
from chatstore.sync import SyncClient

__all__ = [
    "Aborted", "AlreadyExists", "ChatstoreError", "Client", "DataLoss", "DeadlineExceeded",
    "FailedPrecondition", "Internal", "InvalidArgument", "NotFound", "Outcome", "PermissionDenied",
    "ResourceExhausted", "SourceFailure", "SyncClient", "Unauthenticated", "Unavailable",
    "Unimplemented",
]
__version__ = "0.1.0"
