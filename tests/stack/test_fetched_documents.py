"""The same promises as in tests/unit/test_fetched_documents.py, over the deployed table."""

import pytest

from backchannel.tokens.document_store import DocumentStore
from backchannel.tokens.fetched_documents import FetchedDocuments
from tests.support.aws import Aws
from tests.support.documents import DocumentPromises, HandClock


class TestInDynamoDb(DocumentPromises):
    @pytest.fixture
    def store(self, aws: Aws) -> DocumentStore:
        return FetchedDocuments(aws.client("dynamodb"), aws.stack.tables["FetchedDocumentsTable"])

    def test_a_document_that_nobody_asks_for_expires(self, store: DocumentStore, aws: Aws, clock: HandClock) -> None:
        store.claim("a" * 64, clock.now, clock.now)

        table = aws.stack.tables["FetchedDocumentsTable"]
        item = aws.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": "a" * 64}})["Item"]
        assert int(item["expires_at"]["N"]) == (clock.now + 172_800_000) // 1000
