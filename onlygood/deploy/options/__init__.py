"""What each command takes: a dataclass, whose fields are declared as Typer declares options."""
