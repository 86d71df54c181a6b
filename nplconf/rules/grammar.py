"""The spelling of ports and addresses in rules, as regular expressions. No other spelling is written or read."""

PORT = r"(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
IPV6 = r"(?=[0-9a-f]*:)[0-9a-f:]{2,39}"
BITS4 = r"(?:3[0-2]|[12]?[0-9])"
BITS6 = r"(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])"
