"""The SuperNode's own receiving function, with our check in it: what it stores and what it answers."""

from __future__ import annotations

import hashlib
from unittest.mock import MagicMock

import pytest
from flwr.app import Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.supercore.fab import Fab
from flwr.supernode import start_client_internal as supernode

from cranpm.clients import approval
from cranpm.clients.approval import app_folder, fingerprint, run_approved_only
from cranpm.clients.grid import InProcessGrid
from cranpm.errors import CranpmError


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch):
    """A node that approved what is installed here; gives what it stored of an app that it is sent, and its answers."""
    monkeypatch.setattr(supernode, "_pull_and_store_message", supernode._pull_and_store_message)  # put back afterwards
    monkeypatch.setattr(supernode, "_verify_fab", supernode._verify_fab)
    answers: list[Message] = []
    monkeypatch.setattr(supernode, "_insert_message", lambda reply, state, store: answers.append(reply))
    run_approved_only(fingerprint())
    InProcessGrid(lambda message, context: message, {}, {})

    def receive(content: bytes) -> tuple[MagicMock, list[Message]]:
        state, run = MagicMock(), MagicMock()
        state.get_run.return_value = None
        run.override_config, run.fab_hash = {}, hashlib.sha256(content).hexdigest()
        message = Message(RecordDict(), dst_node_id=1, message_type="train")
        supernode._pull_and_store_message(
            state=state, object_store=MagicMock(), node_config={}, receive=lambda: (message, MagicMock()),
            get_run=lambda number: run, get_fab=lambda digest, number: Fab(digest, content, {}),
            pull_object=MagicMock(), confirm_message_received=MagicMock(), trusted_entities=None,
        )  # fmt: skip
        return state, answers

    return receive


def test_the_approved_app_is_stored_and_run(node):
    state, answers = node(build_fab_from_disk(app_folder()))
    assert state.store_fab.called and state.create_task.called and not answers


def test_another_app_is_neither_stored_nor_run_and_the_coordinator_hears_why(node):
    state, answers = node(build_fab_from_disk(app_folder()) + b"one byte more")
    assert not state.store_fab.called and not state.create_task.called and not state.store_run.called
    assert answers[0].error.reason == "The FAB could not be verified."


def test_an_app_that_lies_about_its_hash_is_refused(node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Fab, "hash_str", fingerprint(), raising=False)
    state, answers = node(b"not even an app")
    assert not state.store_fab.called and answers


def test_a_version_of_flower_that_nobody_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(approval, "KNOWN", ("0.9.",))
    with pytest.raises(CranpmError, match="the check of the app is known to hold in"):
        run_approved_only("ab" * 32)
