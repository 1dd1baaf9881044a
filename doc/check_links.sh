#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_links.sh SOURCE: relative links of the tree's Markdown lead somewhere.
status=0
while IFS= read -r page; do
  while IFS= read -r link; do
    case $link in
    http:* | https:* | mailto:* | '#'*) continue ;;
    esac
    if [ ! -e "$(dirname "$page")/${link%%#*}" ]; then
      echo "${page#"$1"/}: $link leads nowhere"
      status=1
    fi
  done < <(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//')
done < <(find "$1"/*.md "$1"/doc "$1"/bindings "$1"/data -name '*.md')
exit $status
