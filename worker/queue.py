"""The Celery app and the sending of hints; imports no torch and no task.

A hint says "look for the best claimable job" and nothing else: the row is the truth.
So a hint may be lost, doubled, late or forged without harm, acknowledgements are not
sent, results are kept nowhere, and sending gives up after two seconds.
"""

import contextlib
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from typing import Any, Final

from celery import Celery
from kombu import Connection, Exchange, Queue

from worker.names import EXPORT, LOOK, LOOK_QUEUES
from worker.settings import settings

SEND_SECONDS: Final = 2.0
ENOUGH_HINTS: Final = 256
"""A queue that holds so many hints needs no more: each worker looks until it finds
nothing. It also bounds the queue of a kind of device that nobody owns."""

_TRANSPORT: Final[dict[str, Any]] = {
    # An acknowledgement that fails is logged and forgotten by kombu 5.7, but its hint
    # goes on counting as taken: with room for one, the worker would never take another.
    "ack_emulation": False,
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
    "global_keyprefix": "frostline:",
}
_SENDING: Final[dict[str, Any]] = _TRANSPORT | {
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "retry_on_timeout": False,
    "max_retries": 0,  # kombu's own default is to try for ever
    "connect_retries_timeout": 1,
}


def _queue(name: str) -> Queue:
    return Queue(name, Exchange(name), routing_key=name)


celery_app = Celery(
    "frostline", broker=settings().redis_url, include=["worker.tasks"], backend=None
)
celery_app.conf.update(
    accept_content=["json"],
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    broker_transport_options=_TRANSPORT,
    enable_utc=True,
    event_serializer="json",
    result_backend=None,
    task_acks_late=False,
    task_default_queue=EXPORT,
    task_ignore_result=True,
    task_queues=[_queue(name) for name in (*LOOK_QUEUES.values(), EXPORT)],
    task_reject_on_worker_lost=False,
    task_serializer="json",
    task_store_errors_even_if_ignored=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_disable_prefetch=True,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_max_tasks_per_child=1000,
    worker_prefetch_multiplier=1,
    worker_proc_alive_timeout=60,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    worker_soft_shutdown_timeout=5,
)


def send(job_id: str) -> bool:
    """Hint that a job may be claimable; False if Redis did not take it in 2 seconds.

    Never raises and never waits longer: the sweep sends again what got lost.
    """
    return _sender.send(LOOK, job_id, tuple(LOOK_QUEUES.values()))


def send_export(model_id: str) -> bool:
    """Hint that a model lacks its exported graph."""
    return _sender.send(EXPORT, model_id, (EXPORT,))


def reachable() -> bool:
    """Tell whether Redis answers within two seconds."""
    return _sender.send("", "", ())


class _Sender:
    """A thread that owns one connection, so that no caller waits for the network."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start afresh, as a forked child must: threads and sockets are not ours."""
        self._waiting: deque[tuple[float, Future[None], tuple[str, str, Any]]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def send(self, task: str, key: str, queues: tuple[str, ...]) -> bool:
        """Hand over a message and wait a moment for it to be taken."""
        sent: Future[None] = Future()
        until = time.monotonic() + SEND_SECONDS
        with self._wake:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="hints", daemon=True
                )
                self._thread.start()
            self._waiting.append((until, sent, (task, key, queues)))
            self._wake.notify()
        try:
            return sent.exception(SEND_SECONDS) is None
        except TooLate:
            return False

    def _run(self) -> None:
        connection: Connection | None = None
        while True:
            with self._wake:
                while not self._waiting:
                    self._wake.wait()
                until, sent, message = self._waiting.popleft()
            if time.monotonic() > until:
                continue  # its sender has gone on; the sweep will send again
            if connection is None:
                connection = Connection(
                    settings().redis_url, transport_options=_SENDING, connect_timeout=1
                )
            try:
                _publish(connection, *message)
            except Exception as error:  # noqa: BLE001 - any failure is "not sent"
                with contextlib.suppress(Exception):
                    connection.release()
                connection = None
                sent.set_exception(error)
            else:
                sent.set_result(None)


def _publish(
    connection: Connection, task: str, key: str, queues: tuple[str, ...]
) -> None:
    channel: Any = connection.default_channel
    if not queues:
        channel.client.ping()
    for queue in queues:
        if channel.client.llen(queue) >= ENOUGH_HINTS:
            continue
        with celery_app.amqp.Producer(channel, auto_declare=False) as producer:
            celery_app.send_task(
                task,
                (key,),
                queue=queue,
                producer=producer,
                retry=False,
                expires=300,
                ignore_result=True,
            )


_sender = _Sender()
os.register_at_fork(after_in_child=_sender.forget)
