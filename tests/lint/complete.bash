# SPDX-License-Identifier: MIT
# bash complete.bash FILE LINE: what FILE's completion offers behind LINE, one a line, then
# "options:" and what it asked of bash.

source "$1"
read -ra COMP_WORDS <<<"$2"
COMP_LINE=$2
COMP_POINT=${#2}

asked=()
compopt() { asked+=("$2"); }

read -r _ _ function _ < <(complete -p vmtap)
"$function"
[[ ${#COMPREPLY[@]} = 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
echo "options: ${asked[*]}"
