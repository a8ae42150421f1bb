/** The completion script for PowerShell: a table of what may follow, and what looks it up. */

/** What may come after some words of a command. */
export interface Position {
  /** "" or "lease" or "lease grant". */
  readonly path: string;
  readonly words: readonly string[];
  readonly flags: readonly string[];
}

/** `clients`: the names besides `aether ctl` that the script completes. */
export function powershellScript(
  positions: readonly Position[],
  clients: readonly string[],
): string {
  const list = (words: readonly string[]): string => `@(${words.map(quoted).join(", ")})`;
  const rows = positions.map(({ path, words, flags }) => {
    return `  ${quoted(path)} = @{ Words = ${list(words)}; Flags = ${list(flags)} }`;
  });
  return `# Completion for aetherctl and aether ctl.
# Load it with: aether ctl completion powershell | Out-String | Invoke-Expression
$AetherCtlPositions = @{
${rows.join("\n")}
}
Register-ArgumentCompleter -Native -CommandName ${["aether", ...clients].join(", ")} -ScriptBlock {
  param($word, $ast, $cursor)
  $typed = @($ast.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursor } |
    ForEach-Object { $_.ToString() })
  $program = [IO.Path]::GetFileNameWithoutExtension($typed[0])
  $typed = @($typed | Select-Object -Skip 1)
  if ($program -eq 'aether') {
    if ($typed.Count -eq 0) { $known = @('ctl') } else { $known = @() }
    if ($typed.Count -eq 0 -or $typed[0] -ne 'ctl') {
      return $known | Where-Object { $_ -like "$word*" }
    }
    $typed = @($typed | Select-Object -Skip 1)
  }
  $path = ''
  foreach ($each in $typed) {
    if ($each.StartsWith('-')) { continue }
    $try = if ($path -eq '') { $each } else { "$path $each" }
    if ($AetherCtlPositions.ContainsKey($try)) { $path = $try }
  }
  $position = $AetherCtlPositions[$path]
  $known = if ($word.StartsWith('-')) { $position.Flags } else { $position.Words }
  $known | Where-Object { $_ -like "$word*" }
}
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
