import shlex

from gateway.migration.command import command


def test_a_command_is_what_a_shell_reads() -> None:
    assert (
        command("flags set", tenant="acme", stage="live") == 'taskgate flags set --tenant acme --stage live --why "…"'
    )
    assert (
        command("flags rollout", percent=33.5, by_task=True)
        == 'taskgate flags rollout --percent 33.5 --by-task --why "…"'
    )


def test_a_name_is_one_word_of_it_whatever_it_contains() -> None:
    tenant = 'it\'s $(reboot); "x"'
    said = shlex.split(command("migration plan skip", "spring sale", tenant=tenant))
    assert said == ["taskgate", "migration", "plan", "skip", "spring sale", "--tenant", tenant, "--why", "…"]
