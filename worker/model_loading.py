"""Opens and loads the model of a catalog entry; whatever goes wrong becomes one line."""

import logging
import time
from collections.abc import Callable

from contract.catalog import ModelSpec
from contract.errors import ModelUnloadable, StartRefused
from worker.drain import draining
from worker.fingerprint import compute_fingerprint
from worker.models import open_model
from worker.models.interface import Model
from worker.models.timing import take_seconds
from worker.models.torch_errors import translate_error
from worker.start_log import note_seconds

logger = logging.getLogger(__name__)


def load_model(spec: ModelSpec, version: str, device: str, enter: Callable[[str], None]) -> Model:
    """The model, loaded onto `device` (`cpu`, `cuda:0`). `enter` is called with each state on the way:
    `importing`, `loading`.

    Raises:
        ModelUnloadable: it cannot be loaded, or its files are not those of `version` any more.
    """
    enter("importing")
    started = time.monotonic()
    try:
        model = open_model(spec)
        enter("loading")
        imported = time.monotonic()
        model.load(spec, device)
    except StartRefused:
        raise
    except (Exception, SystemExit) as error:  # an author's code may call sys.exit
        if draining():
            raise
        logger.debug("the model failed to load", exc_info=True)
        raise ModelUnloadable(f"models.{spec.name}: {translate_error(error).detail}") from error
    if spec.version(compute_fingerprint(spec)) != version:
        raise ModelUnloadable(
            f"models.{spec.name}: its files changed while it was loaded; start it again"
        )
    warm_up = take_seconds().get("warm_up", 0.0)
    note_seconds("import", imported - started)
    note_seconds("load", time.monotonic() - imported - warm_up)
    note_seconds("warm_up", warm_up)
    return model
