"""``anyecg finetune``: a teacher from a checkpoint, or from nothing, and a prepared data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.cli.parser import Parser
from edge.records import NOTICE
from firmware_bridge.errors import EXIT_OK

PROG = "anyecg finetune"


def build_parser() -> Parser:
    """The command line."""
    from convert.finetune.init import LEADS, SHAPES, InitOptions
    from convert.finetune.options import RATES, FinetuneOptions

    start = InitOptions("scratch")
    o = FinetuneOptions(start)
    p = Parser(PROG, "Train a teacher on a prepared data set. A run that was stopped goes on when it is given again.")
    p.add_argument("--init", required=True, metavar="CHECKPOINT", help="ECGFounder's .pth, or 'scratch'")
    p.add_argument("--data", type=Path, required=True, metavar="DIR", help="as 'anyecg prepare' wrote it")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="teacher, states, logs")
    p.add_argument(
        "--mode", default=o.mode, choices=["full", "probe"],
        help="every weight, or the last layer only (a linear probe); default %(default)s",
    )  # fmt: skip
    p.add_argument("--shape", default=start.shape, choices=list(SHAPES), help="from scratch; default %(default)s")
    p.add_argument("--stride", type=int, metavar="N", help="of a checkpoint's stages (default: what it says, or 2)")
    p.add_argument(
        "--bn", choices=["on", "off"],
        help="batch normalisation (default: what a checkpoint says, or off; from scratch on)",
    )  # fmt: skip
    p.add_argument("--lead", default=start.lead, choices=LEADS, help="of a twelve-lead checkpoint; default %(default)s")
    p.add_argument("--epochs", type=int, default=o.epochs, metavar="N", help="at most; default %(default)s")
    p.add_argument(
        "--patience", type=int, default=o.patience, metavar="N",
        help="epochs without a better macro AUROC after which it ends; default %(default)s",
    )  # fmt: skip
    p.add_argument("--batch", type=int, default=o.batch, metavar="N", help="of all workers; default %(default)s")
    p.add_argument(
        "--passes", type=int, default=o.passes, metavar="N",
        help="parts in which a batch is computed, to save memory; default %(default)s",
    )  # fmt: skip
    rates = ", ".join(f"{name} {rate:g}" for name, rate in RATES.items())
    p.add_argument("--rate", type=float, metavar="R", help=f"peak learning rate (default: {rates})")
    p.add_argument("--decay", type=float, default=o.decay, metavar="D", help="weight decay; default %(default)g")
    p.add_argument("--clip", type=float, default=o.clip, metavar="G", help="norm of the gradient; default %(default)g")
    p.add_argument(
        "--positive-weight", type=float, default=o.most_positive_weight, metavar="W",
        help="most that a rare positive counts, 1 for no more than others; default %(default)g",
    )  # fmt: skip
    p.add_argument("--value-weight", type=float, default=o.value_weight, metavar="W", help="default %(default)g")
    p.add_argument(
        "--per-visit", type=int, default=o.segments_per_visit, metavar="N",
        help="segments of a visit in an epoch, drawn anew each time; 0 for all (default)",
    )  # fmt: skip
    p.add_argument("--val-segments", type=int, default=o.val_segments, metavar="N", help="at most; default %(default)s")
    p.add_argument(
        "--average", type=float, default=o.average, metavar="A",
        help="judge and write a moving average of the weights that keeps A at each step; default %(default)g, none",
    )  # fmt: skip
    p.add_argument(
        "--reshape", type=float, default=0.0, metavar="P",
        help="chance of another form of all waves, for few patients; default %(default)g",
    )  # fmt: skip
    p.add_argument(
        "--reshape-size", type=float, default=1.0, metavar="S",
        help="how different that form may be; default %(default)g",
    )  # fmt: skip
    p.add_argument("--no-augment", action="store_true", help="train on the segments as they are")
    p.add_argument(
        "--precision", default=o.precision, choices=["auto", "float32", "bfloat16", "float16"],
        help="of the computation; auto: half on a GPU",
    )  # fmt: skip
    p.add_argument("--seed", type=int, default=o.seed, metavar="S", help="of all chance; default %(default)s")
    p.add_argument("--save-minutes", type=float, default=10.0, metavar="M", help="between states; default %(default)g")
    p.add_argument("--quiet", action="store_true", help="show no progress")
    return p


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Args:
        argv: Arguments after the command's name.

    Returns:
        The exit code.

    Raises:
        AnyEcgError: What a user can do something about.
    """
    from convert.compute.tf_runtime import use_whole_machine
    from convert.datasets.prepared import PreparedDataset
    from convert.finetune.augment import Augmentation
    from convert.finetune.init import InitOptions
    from convert.finetune.options import FinetuneOptions

    args = build_parser().parse_args(argv)
    init = InitOptions(args.init, args.shape, args.stride, None if args.bn is None else args.bn == "on", args.lead)
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
    if replicas.chief:
        sys.stdout.write(_summary(report, args.out))
    return EXIT_OK


def _summary(report: dict[str, Any], out: Path) -> str:
    area, judged = report["val_macro_auroc"], len(report["val_auroc"])
    found = "no head had enough validation labels to be judged"
    if area is not None:
        best = sorted(report["val_auroc"].items(), key=lambda item: -item[1])
        shown = ", ".join(f"{key} {value:.3f}" for key, value in best[:5])
        found = f"macro AUROC {area:.4f} over {judged} heads on patients apart; best {shown}"
    lines = [
        f"{out}: epoch {report['best_epoch']} of {len(report['history'])}, {found}",
        f"written and read back: {', '.join(f'{n} (within {d:.1g})' for n, d in report['read_back'].items())}",
        *(
            ["The patients are SIMULATED: nothing here says anything about people."]
            if report["data"]["simulated"]
            else []
        ),
        "These patients chose the epoch: judge it on others with 'anyecg evaluate'.",
        NOTICE,
    ]
    return "\n".join(lines) + "\n"
