/tmp/cli/p2.sh: line 3: render: command not found
