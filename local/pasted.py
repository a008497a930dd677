"""`python -m local.pasted`: three commands to begin with, that work when they are pasted in the clone."""

COMMAND = "cli/bin/backchannel --local"

BEGIN = (
    "provider set acme issuer=https://idp.example",
    "client set acme/wiki backchannel_logout_uri=https://wiki.example/backchannel-logout",
    "status acme",
)


def show(words: str, *commands: str) -> None:
    """Print commands below what they are for."""
    print(f"\n{words}\n")
    for command in commands:
        print(f"  {COMMAND} {command}")
    print('\nexport PATH="$PWD/cli/bin:$PATH" makes it just `backchannel`.', flush=True)


if __name__ == "__main__":
    show("To begin with, paste these here; docs/start.md goes on:", *BEGIN)
