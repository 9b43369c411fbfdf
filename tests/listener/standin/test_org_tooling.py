"""What the org tells of its own set-up, and to whom."""

from org_caller import Caller

QUERY = "tooling/query"
MEMBERS = "SELECT Id, DeveloperName, EventChannel, SelectedEntity, FilterExpression FROM PlatformEventChannelMember"


async def test_a_channels_member_is_told_by_ids_and_with_its_metadata_by_names(admin: Caller) -> None:
    _, body = await admin.call("GET", QUERY, q="SELECT Id, DeveloperName, ChannelType FROM PlatformEventChannel")
    (channel,) = body["records"]
    assert (channel["DeveloperName"], channel["ChannelType"], body["totalSize"]) == ("FusionSync", "data", 1)
    _, body = await admin.call("GET", QUERY, q=f"{MEMBERS} WHERE EventChannel = '{channel['Id']}'")
    (member,) = body["records"]
    assert member["DeveloperName"] == "FusionSync_chn_Patient_ChangeEvent"
    assert member["FilterExpression"] == "(Ready_for_Fusion__c = true)"
    assert [member[name][:3] for name in ("Id", "EventChannel", "SelectedEntity")] == ["0v8", "0YL", "01I"]
    status, whole = await admin.call("GET", member["attributes"]["url"])
    assert status == 200
    assert whole["Metadata"] | {"urls": None} == {
        "enrichedFields": [{"name": "Fusion_Web_Id__c"}, {"name": "Fusion_Sync_Status__c"}],
        "eventChannel": "FusionSync__chn",
        "filterExpression": "(Ready_for_Fusion__c = true)",
        "selectedEntity": "Patient__ChangeEvent",
        "urls": None,
    }
    assert (await admin.call("GET", f"tooling/sobjects/PlatformEventChannelMember/{channel['Id']}"))[0] == 404


async def test_the_tooling_api_has_objects_of_its_own(admin: Caller) -> None:
    for path, soql in (("query", MEMBERS), (QUERY, "SELECT Id FROM Patient__c")):
        status, body = await admin.call("GET", path, q=soql)
        assert (status, body[0]["errorCode"]) == (400, "INVALID_TYPE")


async def test_who_may_what_is_told_to_who_may_view_the_set_up(admin: Caller, front_desk: Caller) -> None:
    rights = (
        "SELECT ParentId FROM ObjectPermissions WHERE SobjectType = 'Patient__c' AND PermissionsViewAllRecords = true"
    )
    wide = {row["ParentId"] for row in await admin.query(rights)}
    sets = {row["Id"]: row["Name"] for row in await admin.query("SELECT Id, Name FROM PermissionSet")}
    assert {sets[one] for one in wide} == {"Fusion_Sync_Admin", "Fusion_Sync_Integration", "Fusion_Sync_Listener"}
    for path, soql in (("query", rights), ("query", "SELECT Id FROM PermissionSetAssignment"), (QUERY, MEMBERS)):
        status, body = await front_desk.call("GET", path, q=soql)
        assert (status, body[0]["errorCode"]) == (400, "INVALID_TYPE")
    front_desk.org.control.assign("intake", "Patient_Intake_User", "Fusion_Sync_Doctor")
    assert {row["ParentId"] for row in await front_desk.query(rights)} == wide
    assert (await front_desk.call("GET", QUERY, q=MEMBERS))[0] == 200
