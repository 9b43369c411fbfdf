#!/bin/sh
# Sets up an org for fusion-sync: deploys the package, gives the users what they need, makes the External Client App, and
# prints the settings for .env. Every step says what it does and how it is undone; all of them may be done again.
set -eu

usage() {
    cat >&2 <<'END'
usage: install.sh ORG INTEGRATION_USERNAME [options]

  ORG                    alias or user name of an org that the Salesforce CLI is logged in to (sf org login web)
  INTEGRATION_USERNAME   the user that fusion-sync logs in as; it must exist

  --sandbox              stop unless ORG is a sandbox, a scratch org or a Developer Edition
  --sample-data          import six made-up patients; none is ready, so nothing of them is sent
  --listener USERNAME    a user of its own for `fusion-sync listen`, which then sees next to nothing of the patients
  --project DIR          another project than sfdx: sfdx/contact-app, or what person-accounts.sh made
  --client-credentials   log in with a secret; without it, with a key that never leaves this machine
  --key-dir DIR          where the key is kept (default: ~/.fusion-sync)
END
    exit 64
}

here=$(cd "$(dirname "$0")/.." && pwd)
org=
username=
listener=
sandbox=no
samples=no
project=
auth=jwt
keys=${HOME:?}/.fusion-sync

while [ $# -gt 0 ]; do
    case $1 in
        --sandbox) sandbox=yes ;;
        --sample-data) samples=yes ;;
        --client-credentials) auth=client_credentials ;;
        --listener | --project | --key-dir)
            [ $# -ge 2 ] || usage
            case $1 in
                --listener) listener=$2 ;;
                --project) project=$2 ;;
                *) keys=$2 ;;
            esac
            shift
            ;;
        -*) usage ;;
        *)
            if [ -z "$org" ]; then org=$1; elif [ -z "$username" ]; then username=$1; else usage; fi
            ;;
    esac
    shift
done
[ -n "$username" ] || usage
[ -z "$project" ] || [ "$samples" = no ] || usage # the samples are records of Patient
[ -z "$listener" ] || [ "$auth" = jwt ] || usage # with a secret, the app logs in as one user alone
listener=${listener:-$username}

step=0
say() { # what is done, and how it is undone
    step=$((step + 1))
    printf '\n%s. %s\n' "$step" "$1"
    [ -z "${2:-}" ] || printf '   Undo: %s\n' "$2"
}
stop() {
    printf '\nStopped: %s\n' "$1" >&2
    printf 'What was done so far stays and does no harm; run the same command again when this is mended.\n' >&2
    exit 1
}

command -v sf >/dev/null || stop "the Salesforce CLI (sf) is not on the PATH: https://developer.salesforce.com/tools/salesforcecli"
[ "$auth" = client_credentials ] || command -v openssl >/dev/null ||
    stop "openssl is not on the PATH; it makes the key. Or use --client-credentials."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
project=$(cd "${project:-$here}" && pwd) || stop "there is no such folder."
[ -f "$project/sfdx-project.json" ] || stop "$project holds no project (sfdx-project.json)."

deploy() { # folder to deploy from, then the folders in it
    folder=$1
    shift
    for part in "$@"; do
        set -- "$@" --source-dir "$part"
        shift
    done
    (cd "$folder" && sf project deploy start "$@" --target-org "$org" --wait 30) ||
        stop "the deploy failed; the table above says which component and why."
}

assign() { # kind of thing (permset, permsetlicense), its name, the user
    if output=$(sf org assign "$1" --name "$2" --on-behalf-of "$3" --target-org "$org" 2>&1); then
        printf '   %s: given to %s\n' "$2" "$3"
    else
        case $output in
            *[Dd]uplicate*) printf '   %s: %s has it already\n' "$2" "$3" ;;
            *)
                printf '%s\n' "$output" >&2
                return 1
                ;;
        esac
    fi
}

answer() { # a query for one Id; prints it, or nothing
    sf data query --target-org "$org" --result-format csv --query "$1" | grep '^[a-zA-Z0-9]\{15,18\}$' | head -n 1
}

join() { # public group, user: who is in it may edit records that others own
    group=$(answer "SELECT Id FROM Group WHERE DeveloperName = '$1' AND Type = 'Regular'")
    user=$(answer "SELECT Id FROM User WHERE Username = '$2'")
    [ -n "$group" ] && [ -n "$user" ] || return 1
    if [ -n "$(answer "SELECT Id FROM GroupMember WHERE GroupId = '$group' AND UserOrGroupId = '$user'")" ]; then
        printf '   %s: %s is in it already\n' "$1" "$2"
    else
        sf data create record --target-org "$org" --sobject GroupMember \
            --values "GroupId=$group UserOrGroupId=$user" >/dev/null || return 1
        printf '   %s: %s is in it now\n' "$1" "$2"
    fi
}

escaped() { printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'; }

# The value may have several lines (a certificate), which sed cannot put in; awk takes it from the environment unchanged.
render() { # template, file to write, then pairs of a name and its value
    cp "$here/templates/$1" "$work/rendering"
    mkdir -p "$(dirname "$2")"
    target=$2
    shift 2
    while [ $# -gt 0 ]; do
        NAME="@$1@" VALUE=$2 awk '{
            while (at = index($0, ENVIRON["NAME"]))
                $0 = substr($0, 1, at - 1) ENVIRON["VALUE"] substr($0, at + length(ENVIRON["NAME"]))
            print
        }' "$work/rendering" >"$work/rendered"
        mv "$work/rendered" "$work/rendering"
        shift 2
    done
    # An element without a value would be taken for an empty one; left out, it is not there.
    sed '/<\([A-Za-z]*\)><\/\1>/d' "$work/rendering" >"$target"
}

say "Look at the org $org; nothing is changed."
display=$(sf org display --target-org "$org" --json) || stop "the CLI is not logged in to $org: sf org login web --alias $org"
instance=$(printf '%s\n' "$display" | sed -n 's/.*"instanceUrl": *"\([^"]*\)".*/\1/p' | head -n 1)
[ -n "$instance" ] || stop "the CLI does not say where $org is; try: sf org display --target-org $org"
kind=$(sf data query --target-org "$org" --result-format csv \
    --query "SELECT IsSandbox, OrganizationType FROM Organization") || stop "$org does not answer a query."
case $kind in
    *true,* | *"Developer Edition"*) production=no ;;
    *) production=yes ;;
esac
printf '   %s, %s\n' "$instance" "$([ $production = yes ] && echo production || echo 'sandbox, scratch org or Developer Edition')"
[ "$sandbox" = no ] || [ $production = no ] || stop "$org is a production org, and --sandbox was given."

if [ -d "$project/force-app/main/default/settings" ]; then
    say "Switch on paths in the org's settings: the patient's page shows one." \
        "Setup > Path Settings > Disable; other paths of the org go dark, too."
    deploy "$project" force-app/main/default/settings
fi

say "Deploy the package from ${project##*/}/force-app." "sfdx/README.md, \"Uninstall\": in what order the parts come out."
deploy "$project" force-app

say "Give the users their permission sets, and the one that works its place in the group Fusion Sync." \
    "Setup > Permission Sets > (name) > Manage Assignments; Setup > Public Groups > Fusion Sync."
# Integration users have a licence of their own that holds the right to use the API; others have it from their profile.
assign permsetlicense SalesforceAPIIntegrationPsl "$username" ||
    printf '   Without that licence: fine, as long as the profile of %s lets it use the API.\n' "$username"
assign permset Fusion_Sync_Integration "$username" || stop "Fusion_Sync_Integration could not be given to $username."
assign permset Fusion_Sync_Listener "$listener" || stop "Fusion_Sync_Listener could not be given to $listener."
other=
[ "$listener" = "$username" ] || other=$listener
for user in "$username" $other; do
    assign permset Fusion_Sync_Doctor "$user" ||
        printf '   Without it: fusion-sync doctor cannot look at channel and rights as %s, and says so.\n' "$user"
done
if [ -d "$project/force-app/main/default/groups" ]; then # records are private in this project, and shared with it
    join Fusion_Sync "$username" || stop "$username could not be put into the group Fusion Sync."
fi

certificate=
client_credentials=true
if [ "$auth" = jwt ]; then
    client_credentials=false
    key=$keys/$org.key
    say "Make a key and its certificate in $keys; the key stays there, the certificate goes into the app." \
        "delete both files; nobody can log in with them any more once the app is gone."
    umask 077
    mkdir -p "$keys"
    [ -s "$key" ] || openssl genrsa -out "$key" 2048 2>/dev/null || stop "openssl could not make $key."
    # A certificate that ends within a month is made again, from the same key.
    if ! openssl x509 -in "$keys/$org.crt" -noout -checkend 2592000 >/dev/null 2>&1; then
        openssl req -x509 -new -key "$key" -sha256 -days 730 -subj "/CN=fusion-sync" -out "$keys/$org.crt" ||
            stop "openssl could not make $keys/$org.crt."
    fi
    printf '   %s, %s\n' "$key" "$(openssl x509 -in "$keys/$org.crt" -noout -enddate | sed 's/notAfter=/ends /')"
    certificate=$(cat "$keys/$org.crt")
fi

say "Deploy the External Client App Fusion Sync." "Setup > External Client App Manager > Fusion Sync > Delete."
app=$work/app/eca/main/default
mkdir -p "$work/app"
cp "$here/sfdx-project.json" "$work/app/"
mkdir -p "$work/app/force-app"
cp -R "$here/eca" "$work/app/"
render Fusion_Sync_glbloauth.ecaGlblOauth.xml \
    "$app/extlClntAppGlobalOauthSets/Fusion_Sync_glbloauth.ecaGlblOauth-meta.xml" \
    CERTIFICATE "$certificate" CLIENT_CREDENTIALS "$client_credentials"
deploy "$work/app" eca

say "Set the app's policy: only users with the permission sets of fusion-sync may log in through it." \
    "as above, with the app."
run_as=
[ "$auth" = jwt ] || run_as=$(escaped "$username")
render Fusion_Sync_oauthPlcy.ecaOauthPlcy.xml \
    "$app/extlClntAppOauthPolicies/Fusion_Sync_oauthPlcy.ecaOauthPlcy-meta.xml" \
    USERNAME "$run_as" CLIENT_CREDENTIALS "$client_credentials" \
    PERMISSION_SETS "Fusion_Sync_Integration,Fusion_Sync_Listener"
deploy "$work/app" eca/main/default/extlClntAppOauthPolicies

if [ "$samples" = yes ]; then
    say "Import six made-up patients. None is ready, so nothing of them is sent." \
        "delete them in the list All Patients: Alder, Birch, Cedar, Dogwood and the two Elms."
    me=$(printf '%s\n' "$display" | sed -n 's/.*"username": *"\([^"]*\)".*/\1/p' | head -n 1)
    # A deploy shows its fields to nobody, not even to the administrator who deploys.
    assign permset Fusion_Sync_Admin "$me" || stop "Fusion_Sync_Admin could not be given to $me, who imports."
    there=$(sf data query --target-org "$org" --result-format csv \
        --query "SELECT Id FROM Patient__c WHERE Guardian_Email__c = 'robin.alder@example.com'") ||
        stop "$org does not answer a query about Patient__c; may the CLI's user see it?"
    if printf '%s\n' "$there" | grep -q '^[a-zA-Z0-9]\{15,18\}$'; then
        printf '   They are there already.\n'
    else
        (cd "$here" && sf data import tree --plan data/plan.json --target-org "$org") || stop "the import failed; see above."
    fi
fi

say "Read the app's consumer key."
# The key is made by the org. It can be read back with the app's settings; its secret cannot.
consumer=
if sf project retrieve start --metadata ExtlClntAppGlobalOauthSettings:Fusion_Sync_glbloauth --target-org "$org" \
    --target-metadata-dir "$work/read" --unzip >/dev/null 2>&1; then
    consumer=$(find "$work/read" -type f -exec sed -n 's/.*<consumerKey>\([^<]*\)<.*/\1/p' {} + | head -n 1)
fi
where="Setup > External Client App Manager > Fusion Sync > Settings > OAuth Settings > Consumer Key and Secret"
[ -n "$consumer" ] || printf '   The org does not hand it out here; copy it from: %s\n' "$where"

printf '\nDone. For .env:\n\n'
printf 'SALESFORCE_LOGIN_URL=%s\n' "$instance"
printf 'SALESFORCE_AUTH=%s\n' "$auth"
printf 'SALESFORCE_CLIENT_ID=%s\n' "$consumer"
if [ "$auth" = jwt ]; then
    printf 'SALESFORCE_USERNAME=%s\n' "$username"
    printf 'SALESFORCE_PRIVATE_KEY_FILE=%s\n' "$key"
else
    printf 'SALESFORCE_CLIENT_SECRET_FILE=\n'
    printf '\nThe secret: %s. Put it into a file that only fusion-sync can read.\n' "$where"
fi
[ ! -f "$project/mapping.toml" ] || printf 'FUSION_SYNC_MAPPING=%s\n' "$project/mapping.toml"
[ "$listener" = "$username" ] || printf '\nFor the host of fusion-sync listen, SALESFORCE_USERNAME=%s\n' "$listener"
printf '\nThen: fusion-sync config, fusion-sync doctor.\n'
