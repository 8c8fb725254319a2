"""What Flower's own privacy features do with our messages, as docs/privacy.md says; to be read again when
one of these fails with a later Flower."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod


def one_layout() -> ArrayRecord:
    return ArrayRecord(
        {
            "theta/flat": Array(np.ones(8, np.float32)),
            "theta/ints": Array(np.array([3])),
            "phi": Array(np.ones((2, 4), np.float32)),
        }
    )


def asked() -> tuple[Message, Context]:
    content = RecordDict({"arrays": one_layout(), "config": ConfigRecord({"server-round": 1})})
    context = Context(run_id=1, node_id=5, node_config={}, state=RecordDict(), run_config={})
    return Message(content, 5, MessageType.TRAIN), context


def answer(message: Message, context: Context) -> Message:
    arrays = {key: Array(array.numpy() + 1) for key, array in message.content["arrays"].items()}
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"images": 1})})
    return Message(content, reply_to=message)


@pytest.mark.usefixtures("flower")
def test_local_dp_cannot_clip_whole_numbers() -> None:
    """Batch normalisation's counters are int64, and it scales every array in place."""
    app = ClientApp(mods=[LocalDpMod(clipping_norm=1.0, sensitivity=1.0, epsilon=1.0, delta=1e-5)])
    app.train()(answer)
    with pytest.raises(TypeError, match="int64"):
        app(*asked())


def test_its_noise_follows_from_numpys_global_seed() -> None:
    from flwr.supercore.differential_privacy import add_gaussian_noise_inplace, clip_inputs_inplace

    draws = []
    state = np.random.get_state()
    try:
        for _ in range(2):
            np.random.seed(3)
            draws.append(np.zeros(4, np.float32))
            add_gaussian_noise_inplace([draws[-1]], 1.0)
    finally:
        np.random.set_state(state)
    assert np.array_equal(*draws)
    with pytest.raises(ZeroDivisionError):
        clip_inputs_inplace([np.zeros(4, np.float32)], 1.0)


@pytest.mark.usefixtures("flower")
def test_secure_aggregation_is_not_for_the_message_api() -> None:
    """Only ``flwr.client`` and ``flwr.server`` have it, and it takes nothing but their messages."""
    import flwr.clientapp.mod
    import flwr.serverapp.strategy
    from flwr.client.mod import secaggplus_mod
    from flwr.compat.common.recorddict_compat import recorddict_to_fitres
    from flwr.server.workflow import SecAggPlusWorkflow

    offered = [*flwr.clientapp.mod.__all__, *flwr.serverapp.strategy.__all__, *dir(flwr.serverapp)]
    assert not [name for name in offered if "sec" in name.lower()]
    app = ClientApp(mods=[secaggplus_mod])
    app.train()(answer)
    message, context = asked()
    with pytest.raises(KeyError, match="secaggplus_configs"):  # no workflow of ours sends its four stages
        app(message, context)
    with pytest.raises(KeyError, match="fitres"):  # in the last of which it reads a legacy reply
        recorddict_to_fitres(answer(message, context).content, keep_input=True)
    workflow = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2)
    with pytest.raises(TypeError, match="LegacyContext"):
        workflow(None, context)  # type: ignore[arg-type]
