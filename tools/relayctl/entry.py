"""Where `relayctl` starts."""


def run() -> None:
    """Load the commands, which takes a moment, and run one; Ctrl-C meanwhile ends it quietly."""
    try:
        from relayctl.main import main  # noqa: PLC0415 - what comes while it loads is caught here
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    main()
