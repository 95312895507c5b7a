"""What a run is: the bench_* variables, checked, and the run.json made of them."""

from fpaas.common_time import NS_PER_S
from fpaas.errors import SpecError
from fpaas.spec.faults import Fault
from fpaas.spec.from_variables import Topology, build
from fpaas.spec.mix import SUBJECT_ROOT, ConsumerClass
from fpaas.spec.run_checks import check_nats_hosts, check_run
from fpaas.spec.run_parts import Consumers, Firehose, Scenario, Share, Stream
from fpaas.spec.run_spec import (
    DURABLE_PREFIX,
    SCHEMA,
    SETTLE_S,
    STREAM_NAME,
    RunSpec,
    split_consumers,
)
from fpaas.spec.values import Variable
from fpaas.spec.variables import (
    CONNECTIONS,
    DELIVERIES,
    FETCHES,
    NATS_HOSTS_ALLOWED,
    REPLAYS,
    STORAGES,
    VARIABLES,
    is_relay_url,
    read_variables,
)

__all__ = [
    "CONNECTIONS",
    "DELIVERIES",
    "DURABLE_PREFIX",
    "FETCHES",
    "NATS_HOSTS_ALLOWED",
    "NS_PER_S",
    "REPLAYS",
    "SCHEMA",
    "SETTLE_S",
    "STORAGES",
    "STREAM_NAME",
    "SUBJECT_ROOT",
    "VARIABLES",
    "ConsumerClass",
    "Consumers",
    "Fault",
    "Firehose",
    "RunSpec",
    "Scenario",
    "Share",
    "SpecError",
    "Stream",
    "Topology",
    "Variable",
    "build",
    "check_nats_hosts",
    "check_run",
    "is_relay_url",
    "read_variables",
    "split_consumers",
]
