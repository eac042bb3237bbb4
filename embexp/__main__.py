"""`embexp`: one run, or with -m every combination of a sweep; `embexp <command>` is `python -m embexp.<command>`."""

import sys


def main() -> None:
    """Run the command that was typed, or compose the configuration, train, and close the sweep if this was one.

    Of several processes that torchrun has started, the first does this, and the others train along.
    """
    try:
        _main()
    except KeyboardInterrupt:  # while libraries are imported
        sys.exit(130)


def _main() -> None:
    from embexp.cli.completion import answer_shell
    from embexp.cli.help import show_help
    from embexp.core.launch import read_launch
    from embexp.core.ranks import leading
    from embexp.errors import ConfigError

    try:
        if (launch := read_launch()) and launch.rank:
            from embexp.training.processes import train_along

            train_along(launch)
            return
        with leading(launch):
            if answer_shell(sys.argv[1:]) or show_help(sys.argv[1:]):
                return
            from embexp.cli.app import run_command, run_named_command

            if run_named_command(sys.argv[1:]):
                return
            from embexp.sweep.train import Training, closing_sweep

            with closing_sweep():
                run_command(Training())
    except ConfigError as error:
        from embexp.cli.app import exit_with

        exit_with(error)


if __name__ == "__main__":
    main()
