"""``anyecg finetune``: train a teacher on a prepared data set, from a checkpoint or from scratch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli.parser import Parser
from edge.records import NOTICE
from firmware_bridge.errors import EXIT_OK

if TYPE_CHECKING:
    from convert.finetune.options import FinetuneOptions
    from convert.finetune.records import Report

PROG = "anyecg finetune"


def build_parser() -> Parser:
    """Return the parser of the command."""
    from convert.finetune.init import LEADS, SHAPES, InitOptions
    from convert.finetune.options import FinetuneOptions

    start = InitOptions("scratch")
    o = FinetuneOptions(start)
    p = Parser(PROG, "Train a teacher on a prepared data set. Rerun the command to resume an interrupted training.")
    p.add_argument("--init", required=True, metavar="CHECKPOINT", help="a .pth or .safetensors file, or 'scratch'")
    p.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of 'anyecg prepare'")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the teacher, states and logs")
    p.add_argument(
        "--mode", default=o.mode, choices=["full", "probe"],
        help="train every weight, or the last layer only (a linear probe); default %(default)s",
    )  # fmt: skip
    p.add_argument(
        "--shape", default=start.shape, choices=list(SHAPES), help="network for 'scratch'; default %(default)s"
    )
    p.add_argument(
        "--stride", type=int, metavar="N", help="stride of a checkpoint's stages (default: that of the file, or 2)"
    )
    p.add_argument(
        "--bn", choices=["on", "off"],
        help="batch normalisation (default: that of the checkpoint, or off; on for 'scratch')",
    )  # fmt: skip
    p.add_argument(
        "--lead", default=start.lead, choices=LEADS, help="lead of a twelve-lead checkpoint; default %(default)s"
    )
    p.add_argument("--key", metavar="NAME", help="name of the network in a checkpoint with several")
    _add_training(p, o)
    p.add_argument("--quiet", action="store_true", help="show no progress")
    return p


def _add_training(p: Parser, o: FinetuneOptions) -> None:
    from convert.finetune.options import RATES

    p.add_argument("--epochs", type=int, default=o.epochs, metavar="N", help="most epochs; default %(default)s")
    p.add_argument(
        "--patience", type=int, default=o.patience, metavar="N",
        help="end after so many epochs without a better macro AUROC; default %(default)s",
    )  # fmt: skip
    p.add_argument(
        "--batch", type=int, default=o.batch, metavar="N", help="batch size over all workers; default %(default)s"
    )
    p.add_argument(
        "--passes", type=int, default=o.passes, metavar="N",
        help="compute a batch in so many parts, to save memory; default %(default)s",
    )  # fmt: skip
    rates = ", ".join(f"{name} {rate:g}" for name, rate in RATES.items())
    p.add_argument("--rate", type=float, metavar="R", help=f"peak learning rate (default: {rates})")
    p.add_argument("--decay", type=float, default=o.decay, metavar="D", help="weight decay; default %(default)g")
    p.add_argument(
        "--clip", type=float, default=o.clip, metavar="G", help="largest norm of the gradient; default %(default)g"
    )
    p.add_argument(
        "--positive-weight", type=float, default=o.most_positive_weight, metavar="W",
        help="largest weight of a rare positive, 1 for equal weights; default %(default)g",
    )  # fmt: skip
    p.add_argument(
        "--value-weight", type=float, default=o.value_weight, metavar="W", help="weight of a value; default %(default)g"
    )
    p.add_argument(
        "--per-visit", type=int, default=o.segments_per_visit, metavar="N",
        help="segments of a visit in an epoch, drawn again for each epoch; 0 for all (default)",
    )  # fmt: skip
    p.add_argument(
        "--val-segments",
        type=int,
        default=o.val_segments,
        metavar="N",
        help="most segments of val; default %(default)s",
    )
    _add_computation(p, o)


def _add_computation(p: Parser, o: FinetuneOptions) -> None:
    p.add_argument(
        "--average", type=float, default=o.average, metavar="A",
        help="use a moving average of the weights with the factor A per step; default %(default)g, none",
    )  # fmt: skip
    p.add_argument(
        "--reshape", type=float, default=0.0, metavar="P",
        help="chance of changed wave shapes, useful with few patients; default %(default)g",
    )  # fmt: skip
    p.add_argument(
        "--reshape-size", type=float, default=1.0, metavar="S",
        help="size of that change; default %(default)g",
    )  # fmt: skip
    p.add_argument("--no-augment", action="store_true", help="train without augmentation")
    p.add_argument(
        "--precision", default=o.precision, choices=["auto", "float32", "bfloat16", "float16"],
        help="precision of the computation; auto: half on a GPU",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=int, default=o.seed, metavar="S", help="seed of all random numbers; default %(default)s"
    )
    p.add_argument(
        "--save-minutes", type=float, default=10.0, metavar="M", help="time between saved states; default %(default)g"
    )


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: The command failed; the message says what to do.
    """
    from convert.compute.tf_runtime import use_whole_machine
    from convert.datasets.prepared import PreparedDataset
    from convert.finetune.augment import Augmentation
    from convert.finetune.init import InitOptions
    from convert.finetune.options import FinetuneOptions

    args = build_parser().parse_args(argv)
    bn = None if args.bn is None else args.bn == "on"
    init = InitOptions(args.init, args.shape, args.stride, bn, args.lead, args.key)
    options = FinetuneOptions(
        init, args.mode, args.epochs, args.patience, args.batch, args.passes, args.rate, args.decay, args.clip,
        args.positive_weight, args.value_weight, args.per_visit, args.val_segments,
        None if args.no_augment else Augmentation(shape=args.reshape, shape_size=args.reshape_size),
        args.average, args.precision, args.seed,
    )  # fmt: skip
    data = PreparedDataset(args.data)
    use_whole_machine()
    from convert.compute.replicas import open_replicas

    replicas = open_replicas()
    from convert.finetune.run import finetune

    progress = None if args.quiet else sys.stderr
    report = finetune(data, args.out, options, replicas, progress, 60.0 * args.save_minutes)
    if report is not None:
        sys.stdout.write(_summary(report, args.out))
    return EXIT_OK


def _summary(report: Report, out: Path) -> str:
    area, judged = report["val_macro_auroc"], len(report["val_auroc"])
    found = "no head has enough validation labels to be judged"
    if area is not None:
        best = sorted(report["val_auroc"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{key} {value:.3f}" for key, value in best[:5])
        found = f"macro AUROC {area:.4f} over {judged} heads on the validation patients; best {shown}"
    lines = [
        f"{out}: epoch {report['best_epoch']} of {len(report['history'])}, {found}",
        f"written and read back: {', '.join(f'{n} (within {d:.1g})' for n, d in report['read_back'].items())}",
        *(
            ["The patients are SIMULATED: these results do not apply to real patients."]
            if report["data"]["simulated"]
            else []
        ),
        "The validation patients selected the epoch: judge the teacher on other patients with 'anyecg evaluate'.",
        NOTICE,
    ]
    return "\n".join(lines) + "\n"
