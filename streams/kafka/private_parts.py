"""The private parts of Faust, mode and aiokafka that `streams` overrides, calls or reads. A test checks each of them.

A new version of a library may change any of them without notice. Before an upgrade, read what the library changed in
these places, then change `VERSIONS`.

Overridden:
- Faust's consumer and its thread (`faust_transport`, `consumer_thread`): batch topics are left to lanes, commits that
  brokers refuse do not end the worker, and a rebalance does not wait for a thread that ends.
- Faust's producer: rests while no broker answers (`connection.paced`) and flushes for a bounded time.
- Faust's web driver, and aiohttp's request handler and site (`streams.web`): the guard before the pages.
- aiokafka's `Request.build` (`streams.health.broker_requests`): newer versions of two requests.
- `faust.Worker` (`streams.worker`): it ends in time, and when it cannot start.
- aiokafka's listener of rebalances (`agents.training_log`, `agents.mapping`), a public interface.
- aiokafka's `AIOKafkaClient._metadata_update` and `send`, replaced on each client (`connection`, `fetcher`).

Called or read:
- aiokafka's fetcher and its results (`fetcher`, `record_batches`): records by the batch, and those that are unreadable.
- aiokafka's coordinator: the group goes on after an error that stops it (`consumer_thread`), and commits are read with
  their metadata (`agents.mapping`).
- The client inside consumers and producers, and the options that it was made with (`connection`, `partitions`).
- Faust's assignor (`streams.app`): where the workers of the group are, by partition.
- Faust's bookkeeping of acknowledged records and commits, and the producer inside its producer (`streams.app`).
"""

from collections.abc import Mapping

VERSIONS: Mapping[str, str] = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}
"""The versions in which these parts were checked: those in `locked/`."""

FAUST = "faust.transport.drivers.aiokafka"

METHODS: Mapping[str, Mapping[str, str]] = {
    f"{FAUST}:AIOKafkaConsumerThread": {
        "__post_init__": "",
        "_commit": "offsets",
        "_create_worker_consumer": "transport",
        "_ensure_consumer": "",
        "_fetch_records": "consumer active_partitions timeout max_records",
        "assignment": "",
        "getmany": "active_partitions timeout",
        "highwater": "tp",
        "on_partitions_assigned": "assigned generation_id",
        "on_partitions_revoked": "revoked",
        "on_start": "",
        "on_thread_stop": "",
        "seek_to_beginning": "*partitions",
    },
    f"{FAUST}:Consumer": {
        "__init__": "*args **kwargs",
        "_add_gap": "tp offset_from offset_to",
        "_commit": "offsets",
        "_new_consumer_thread": "",
        "_set_active_tps": "tps",
        "ack": "message",
        "force_commit": "topics start_new_transaction",
        "on_partitions_assigned": "assigned generation_id",
        "on_partitions_revoked": "revoked",
        "on_stop": "",
        "resume_partitions": "tps",
        "seek_to_committed": "",
        "verify_event_path": "now tp",
    },
    f"{FAUST}:Producer": {"_ensure_producer": "", "_new_producer": "transactional_id", "flush": ""},
    f"{FAUST}:Transport": {"__init__": "*args **kwargs"},
    "faust.web.drivers.aiohttp:Web": {"__init__": "app **kwargs", "_new_transport_tcp": ""},
    "faust.assignor.partition_assignor:PartitionAssignor": {"external_topics_metadata": ""},
    "faust:App": {"_new_web": "", "on_start": "", "on_stop": ""},
    "faust:Worker": {"_schedule_shutdown": "signal", "stop_and_shutdown": ""},
    "aiokafka:AIOKafkaConsumer": {"start": ""},
    "aiokafka.abc:ConsumerRebalanceListener": {
        "on_partitions_assigned": "assigned",
        "on_partitions_revoked": "revoked",
    },
    "aiokafka.client:AIOKafkaClient": {
        "_metadata_update": "cluster_metadata topics",
        "fetch_all_metadata": "",
        "force_metadata_update": "",
        "send": "node_id request group",
    },
    "aiokafka.protocol.api:Request": {"build": "request_struct_class"},
    "aiokafka.consumer.fetcher:Fetcher": {
        "_create_fetch_waiter": "",
        "fetched_records": "partitions timeout max_records",
    },
    "aiokafka.consumer.fetcher:FetchError": {"__init__": "error backoff"},
    "aiokafka.consumer.fetcher:FetchResult": {
        "__init__": "tp assignment partition_records backoff",
        "check_assignment": "tp",
        "has_more": "",
    },
    "aiokafka.consumer.fetcher:PartitionRecords": {
        "__init__": "tp records aborted_transactions fetch_offset key_deserializer value_deserializer check_crcs "
        "isolation_level",
        "_consume_aborted_up_to": "batch_offset",
        "_consumer_record": "tp record",
        "_contains_abort_marker": "next_batch",
    },
    "aiokafka.consumer.group_coordinator:GroupCoordinator": {
        "_coordination_routine": "",
        "check_errors": "",
        "fetch_committed_offsets": "partitions",
    },
}
"""Methods that are overridden or called, by class: the names of their parameters after `self`."""

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    f"{FAUST}:AIOKafkaConsumerThread": frozenset({"_consumer", "tp_last_committed_at"}),
    f"{FAUST}:Consumer": frozenset({"_acked", "_acked_index", "_committed_offset", "_thread"}),
    "faust.web.drivers.aiohttp:Web": frozenset({"_runner", "web_app"}),
    "faust:Worker": frozenset({"_starting_fut"}),
    "mode:Service": frozenset({"_crashed", "_stopped"}),
    "aiohttp.web:TCPSite": frozenset({"_host", "_port"}),
    "aiohttp.web:BaseSite": frozenset({"_server"}),
    "aiokafka:AIOKafkaConsumer": frozenset(
        {"_client", "_coordinator", "_fetch_max_wait_ms", "_fetcher", "_group_id", "_isolation_level"}
    ),
    "aiokafka:AIOKafkaProducer": frozenset({"client"}),
    "aiokafka.client:AIOKafkaClient": frozenset(
        {
            "_client_id",
            "_request_timeout_ms",
            "_sasl_mechanism",
            "_sasl_plain_password",
            "_sasl_plain_username",
            "_security_protocol",
            "_ssl_context",
            "_topics",
            "cluster",
            "hosts",
        }
    ),
    "aiokafka.consumer.fetcher:Fetcher": frozenset(
        {"_fetch_task", "_isolation_level", "_loop", "_max_partition_fetch_bytes", "_records", "_subscriptions"}
    ),
    "aiokafka.consumer.fetcher:FetchError": frozenset({"_backoff", "_error"}),
    "aiokafka.consumer.fetcher:FetchResult": frozenset({"_backoff", "_partition_records"}),
    "aiokafka.consumer.fetcher:PartitionRecords": frozenset(
        {"_aborted_producers", "_isolation_level", "_records_iterator", "_tp", "next_fetch_offset"}
    ),
    "aiokafka.consumer.group_coordinator:GroupCoordinator": frozenset({"_closing", "_coordination_task"}),
}
"""Attributes of instances that are read or set, by class."""
