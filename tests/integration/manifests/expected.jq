# What `sidelift rewrite --image app:dev` means, said a second time and of JSON:
# every container of that image has the policy Never, and nothing else changes.
def chosen:
  type == "string" and IN("app:dev", "docker.io/app:dev", "library/app:dev", "docker.io/library/app:dev",
    "index.docker.io/app:dev", "index.docker.io/library/app:dev");
def opaque:
  (.kind | IN("ConfigMap", "Secret", "CustomResourceDefinition")) and has("apiVersion");
def expected:
  if type == "array" then map(expected)
  elif type != "object" or opaque then .
  else with_entries(
    if (.key | IN("containers", "initContainers", "ephemeralContainers")) and (.value | type) == "array"
    then .value |= map(if type == "object" and (.image | chosen) then .imagePullPolicy = "Never" else . end)
    else . end
    | .value |= expected)
  end;
expected
