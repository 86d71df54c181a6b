"""iptables as values: follow a packet through a table, and carry out a transaction as iptables-restore does."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from nplconf.rules.iptables.rule import Rule
from nplconf.rules.iptables.table import BASES, NatTable, read


@dataclass(slots=True)
class Packet:
    """A packet from a source to an address of the node, or one that only passes. checked: rules it was held against."""

    source: str
    destination: str
    protocol: str
    port: int
    local: bool = True
    checked: int = field(default=0, compare=False)


def deliver(table: NatTable, packet: Packet, chain: str = "NPLCONF") -> str | None:
    """Return where a chain sends a packet, as ADDRESS:PORT; None if no rule of nplconf translates it."""
    for rule in table.chains.get(chain, ()):
        packet.checked += 1
        assert isinstance(rule, Rule)
        if not _matches(rule, packet):
            continue
        if rule.target == "DNAT":
            return rule.to
        # "goto": whatever comes of it, nothing comes back
        return deliver(table, packet, rule.target) if rule.goto else None
    return None


def _matches(rule: Rule, packet: Packet) -> bool:
    first, _, last = rule.ports.partition(":")
    return (
        (not rule.source or ip_address(packet.source) in ip_network(rule.source))
        and (not rule.destination or ip_address(packet.destination) in ip_network(rule.destination))
        and rule.protocol in ("", packet.protocol)
        and (not rule.local or packet.local)
        and (not rule.ports or int(first) <= packet.port <= int(last or first))
    )


@dataclass(slots=True)
class Kernel:
    """A nat table as lines per chain."""

    chains: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in BASES})

    def table(self) -> NatTable:
        """What nplconf makes of what is printed."""
        return read(
            "\n".join(
                line
                for name, rules in self.chains.items()
                for line in (f":{name} - [0:0]", *(f"-A {name} {rule}" for rule in rules))
            )
        )

    def restore(self, text: str) -> None:
        """A transaction with --noflush; an AssertionError where iptables-restore would refuse it."""
        lines = text.split("\n")
        assert (lines[0], lines[-2:]) == ("*nat", ["COMMIT", ""])
        for line in lines[1:-2]:
            self._command(line)
        for rules in self.chains.values():
            targets = {self._target(rule) for rule in rules}
            assert all(target in self.chains for target in targets if target.startswith("NPLCONF")), targets

    def _command(self, line: str) -> None:
        if line.startswith(":"):
            self.chains[line[1:].removesuffix(" - [0:0]")] = []
            return
        verb, chain, *rest = line.split(" ", 2)
        rule = rest[0] if rest else ""
        if verb == "-A":
            self.chains[chain].append(rule)
        elif verb == "-I":
            place, _, rule = rule.partition(" ")
            assert 1 <= int(place) <= len(self.chains[chain]) + 1, line
            self.chains[chain].insert(int(place) - 1, rule)
        elif verb == "-D":
            self.chains[chain].remove(rule)
        else:
            assert verb == "-X", line
            assert not self.chains.pop(chain), f"{chain} has rules"
            used = any(self._target(rule) == chain for rules in self.chains.values() for rule in rules)
            assert not used, f"{chain} is used"

    @staticmethod
    def _target(rule: str) -> str:
        """The chain or verdict; no comment of these tests has an escaped quote."""
        words = "".join(rule.split('"')[::2]).replace("-g ", "-j ").partition("-j ")[2].split()
        return words[0] if words else ""
