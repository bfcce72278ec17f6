#!/usr/bin/env bash
# Delete what Airflow has kept of runs that are older than so many days: rows of its database, files of its log folder.
# Once a week, where Airflow's configuration is at hand, such as on the scheduler's machine: sweep_airflow.sh 30
set -euo pipefail

days=${1:-30}
before=$(date --utc --date="$days days ago" '+%Y-%m-%dT%H:%M:%SZ')
logs=$(airflow config get-value logging base_log_folder 2>/dev/null)

airflow db clean --clean-before-timestamp "$before" --skip-archive --yes --error-on-cleanup-failure
find "$logs" -type f -mtime "+$days" -delete
find "$logs" -mindepth 1 -type d -empty -mtime +1 -delete
