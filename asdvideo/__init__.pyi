# Made by `asdvideo.interface.stub` from the table of names.
__version__: str
from .errors import (
    AsdError as AsdError,
)
from .denoiser import (
    CausalLayout as CausalLayout,
    Condition as Condition,
    Denoiser as Denoiser,
)
from .world import (
    Clips as Clips,
    World as World,
)
from .digits import (
    DigitsSettings as DigitsSettings,
    SteeredDigits as SteeredDigits,
    ask as ask,
)
from .flow import (
    add_noise as add_noise,
    euler as euler,
    shift_sigma as shift_sigma,
    sigma_grid as sigma_grid,
    velocity_from_x0 as velocity_from_x0,
    x0_from_velocity as x0_from_velocity,
)
from .cache import (
    KVCache as KVCache,
    RingCache as RingCache,
    ValueCache as ValueCache,
)
from .transformer import (
    NetworkConfig as NetworkConfig,
    VideoTransformer as VideoTransformer,
)
from .causal import (
    causal as causal,
    frozen as frozen,
    trainable as trainable,
)
from .schedule import (
    Schedule as Schedule,
    StepList as StepList,
)
from .rollout import (
    Noise as Noise,
    rollout as rollout,
    rollout_chunks as rollout_chunks,
)
from .teacher import (
    Guided as Guided,
    TeacherSettings as TeacherSettings,
    TeacherStage as TeacherStage,
    flow_loss as flow_loss,
)
from .initialisation import (
    InitialisationSettings as InitialisationSettings,
    InitialisationStage as InitialisationStage,
    Paths as Paths,
    record_paths as record_paths,
)
from .dmd import (
    DmdSettings as DmdSettings,
    DmdStage as DmdStage,
    dmd_gradient as dmd_gradient,
)
from .discriminator import (
    DiscriminatorHead as DiscriminatorHead,
    HeadConfig as HeadConfig,
)
from .asd import (
    AsdSettings as AsdSettings,
    AsdStage as AsdStage,
    asd_gradient as asd_gradient,
)
from .settings import (
    Settings as Settings,
    changed as changed,
    setting as setting,
)
from .devices import (
    Runtime as Runtime,
    runtime as runtime,
)
from .learner import (
    LearnerSettings as LearnerSettings,
)
from .training import (
    Stage as Stage,
    fit as fit,
)
from .judge import (
    Judge as Judge,
    JudgeSettings as JudgeSettings,
    JudgeStage as JudgeStage,
)
from .checkpoints import (
    load_network as load_network,
    publish as publish,
)
from .sampling import (
    Sampler as Sampler,
    generate as generate,
    load as load,
)
from .clips import (
    ClipReference as ClipReference,
    CutSettings as CutSettings,
    OwnClips as OwnClips,
    load_clips as load_clips,
)
from .pictures import (
    save_video as save_video,
)
from .stream import (
    VideoStream as VideoStream,
)
from .pipelines import (
    CausalVideoPipeline as CausalVideoPipeline,
    CausalWanPipeline as CausalWanPipeline,
)
