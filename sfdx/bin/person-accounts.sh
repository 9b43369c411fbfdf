#!/bin/sh
# Makes, in a folder that does not exist yet, the project for orgs whose patients are Person Accounts: contact-app, with its
# fields on Account. Then: install.sh ORG INTEGRATION_USERNAME --project FOLDER
set -eu

if [ $# -ne 1 ] || [ -e "$1" ]; then
    echo "usage: person-accounts.sh FOLDER    (it must not exist yet)" >&2
    exit 64
fi
here=$(cd "$(dirname "$0")/.." && pwd)
cp -R "$here/contact-app" "$1"
cd "$1"
default=force-app/main/default
mv $default/objects/Contact $default/objects/Account
mv $default/quickActions/Contact.Resync_to_Fusion.quickAction-meta.xml \
    $default/quickActions/Account.Resync_to_Fusion.quickAction-meta.xml
mv $default/platformEventChannelMembers/FusionSync_chn_ContactChangeEvent.platformEventChannelMember-meta.xml \
    $default/platformEventChannelMembers/FusionSync_chn_AccountChangeEvent.platformEventChannelMember-meta.xml

# The birthdate stays a field of Contact where access to it is given, and is PersonBirthdate on the Account. In object
# permissions the two change places: all records are seen of Account, and Contact is what it stands on.
find . -type f \( -name '*.xml' -o -name mapping.toml \) | while IFS= read -r file; do
    sed -e 's/ContactChangeEvent/AccountChangeEvent/g' \
        -e 's/Contact\.Birthdate/@BIRTHDATE@/g' \
        -e 's/\([^A-Za-z_]\)Birthdate\([^A-Za-z]\)/\1PersonBirthdate\2/g' \
        -e 's/@BIRTHDATE@/Contact.Birthdate/g' \
        -e 's/<field>Contact\.\([A-Za-z_]*__c\)</<field>Account.\1</g' \
        -e 's/<columns>FULL_NAME</<columns>ACCOUNT.NAME</g' \
        -e 's/^object = "Contact"/object = "Account"/' \
        -e 's/whose patients are Contacts/whose patients are Person Accounts/' \
        -e 's/<object>Account</<object>@OTHER@</' \
        -e 's/<object>Contact</<object>Account</' \
        -e 's/<object>@OTHER@</<object>Contact</' \
        "$file" >"$file.new"
    mv "$file.new" "$file"
done
