package interop;

import jakarta.jws.Oneway;
import jakarta.jws.WebMethod;
import jakarta.jws.WebParam;
import jakarta.jws.WebResult;
import jakarta.jws.WebService;
import jakarta.jws.soap.SOAPBinding;

/** The application, for both sides. */
@WebService(targetNamespace = CxfWsdl.NAMESPACE, name = "EchoPort")
@SOAPBinding(parameterStyle = SOAPBinding.ParameterStyle.BARE)
public interface CxfEcho {
  @WebMethod(operationName = "Echo", action = CxfWsdl.NAMESPACE + "/Echo")
  @WebResult(name = "echoResponse", targetNamespace = CxfWsdl.NAMESPACE, partName = "body")
  String echo(@WebParam(name = "echo", targetNamespace = CxfWsdl.NAMESPACE, partName = "body") String text);

  @Oneway
  @WebMethod(operationName = "Note", action = CxfWsdl.NAMESPACE + "/Note")
  void note(@WebParam(name = "note", targetNamespace = CxfWsdl.NAMESPACE, partName = "body") String text);
}
