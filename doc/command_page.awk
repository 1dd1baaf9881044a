# SPDX-License-Identifier: Apache-2.0
# Turns `llq COMMAND --help` into the manual page llq-COMMAND(1), so that the
# page has the options that the command has.

function escaped(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  return text ~ /^[.']/ ? "\\&" text : text
}

NR == 1 {
  command = $3
  for (i = 4; i < NF; i++)
    operands = operands " " $i
  next
}

NR == 2 {
  summary = $0
  sub(/\.$/, "", summary)
  print ".\\\" SPDX-License-Identifier: Apache-2.0"
  print ".Dd November 25, 2026"
  print ".Dt LLQ-" toupper(command) " 1"
  print ".Os"
  print ".Sh NAME"
  print ".Nm llq-" command
  print ".Nd " escaped(tolower(substr(summary, 1, 1)) substr(summary, 2))
  print ".Sh SYNOPSIS"
  print ".Nm llq " command
  if (operands != "")
    print ".Ar" operands
  print ".Op Ar options"
  print ".Sh DESCRIPTION"
  print escaped(summary ".")
  print ".Pp"
  print "The options are:"
  print ".Bl -tag -width Ds"
  next
}

/^  --/ {
  name = $1
  rest = substr($0, 3 + length(name))
  value = ""
  if (match(rest, /^ [^ ]+ /)) {
    value = substr(rest, 2, RLENGTH - 2)
    rest = substr(rest, RLENGTH)
  }
  sub(/^ +/, "", rest)
  print ".It Fl " escaped(substr(name, 2)) (value != "" ? " Ar " value : "")
  print escaped(rest)
}

END {
  print ".El"
  print ".Sh EXIT STATUS"
  print "0 when done, 1 when something failed, 2 for a wrong command line."
  print ".Sh SEE ALSO"
  print ".Xr llq 1"
}
