#!/bin/sh
# The daily training for cron; each line of the log is the result of one run, as JSON. In a crontab:
#   30 3-8 * * *  /opt/shortlist/daily.sh /etc/shortlist/daily.toml
# It is started every hour until the data are there; when the day is done, the runs that follow do nothing.
set -u
PATH="$PATH:/opt/shortlist/bin"   # where docs/operations.md installs it, to train with "shortlist[export]" too; cron's own PATH does not have it
log="${SHORTLIST_LOG:-/var/log/shortlist/daily.jsonl}"
mkdir -p "$(dirname "$log")" || exit
shortlist daily "$@" >> "$log"
code=$?
case "$code" in
    0) ;;         # promoted, or done before
    4 | 5) ;;     # no data yet, or still running: the next hour's run sees to it
    *) echo "shortlist daily ended with exit code $code; see the log" >&2
       exit "$code" ;;  # 3: a condition does not hold; 1: something is wrong. Cron mails this.
esac
